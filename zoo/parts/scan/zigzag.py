"""Serpentines from all corners."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import from_corners, serpentine
from zoo.registry import register


@register("scan", "zigzag")
def zigzag(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of the eight, in their order
) -> list[np.ndarray]:
    """Rows, then columns, there and back, from the corners top left, top right, bottom left, bottom right.

    Source: ZigMa (arXiv 2403.13802, Figure 4), generalised from squares to oblongs.
    """
    return [serpentine(view) for view in from_corners(grid)[:count]]
