"""Round and round."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import along, turned
from zoo.registry import register


@register("scan", "spiral")
def spiral(
    grid: Grid,
    *,
    count: Literal[1, 2, 4, 8, 16] = 4,  # how many of the eight images in and out again, in their order
) -> list[np.ndarray]:
    """Rounds, clockwise from the top left to the middle, and out again; the same from the other corners."""
    inwards = [along(view, *_curve(*view.shape[1:])) for view in turned(grid)]
    return [order for way in inwards for order in (way, way[::-1])][:count]


def _curve(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    left = np.arange(height * width).reshape(height, width)
    steps = []
    while left.size:
        steps.append(left[0])
        left = np.rot90(left[1:])  # the column at the right becomes the next row
    return np.divmod(np.concatenate(steps), width)
