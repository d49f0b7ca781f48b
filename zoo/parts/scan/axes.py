"""Line by line along any axis of a video."""

from __future__ import annotations

import numpy as np

from zoo.errors import RecipeError
from zoo.grid import Grid
from zoo.parts.paths import cells
from zoo.registry import register

AXES = "thw"


@register("scan", "axes")
def axes(
    grid: Grid,
    *,
    orders: list[str] = ["thw", "hwt"],  # of successive blocks, slowest axis first: t frames, h rows, w columns
) -> list[np.ndarray]:
    """Successive blocks read the cells in these orders of the axes: `hwt` follows each place through all frames.

    Errors: RecipeError unless each order names t, h and w once.
    """
    for order in orders:
        if sorted(order) != sorted(AXES):
            raise RecipeError(f"order {order!r}", where="backbone.scan.orders", fix="write t, h and w once each")
    if not orders:
        raise RecipeError("no order is named", where="backbone.scan.orders", fix="name for instance thw")
    return [cells(grid).transpose([AXES.index(axis) for axis in order]).ravel() for order in orders]
