"""Rows and columns from all corners."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import from_corners
from zoo.registry import register


@register("scan", "sweep")
def sweep(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of the eight, in their order; sweep-4 is the first four
) -> list[np.ndarray]:
    """Rows, then columns, all in one direction, from top left, top right, bottom left, bottom right.

    Source: DiMSUM (NeurIPS 2024, sweep-8 and sweep-4).
    """
    return [view.ravel() for view in from_corners(grid)[:count]]
