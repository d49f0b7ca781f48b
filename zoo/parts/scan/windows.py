"""Window by window."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.parts.paths import cells, in_parts
from zoo.registry import register


@register("scan", "windows")
def windows(
    grid: Grid,
    *,
    size: int = 4,  # cells of a window's side; those at the right and bottom edge may be smaller
    independent: bool = False,  # every window is a sequence of its own; the grid must then be divisible
    count: Literal[1, 2, 3, 4] = 4,  # how many of the four, in their order
) -> list[np.ndarray]:
    """Windows by rows, cells by rows inside them; the same reversed; both by columns; the same reversed.

    Errors: RecipeError for no size, ShapeError if independent windows do not divide the grid.
    Source: LocalMamba (arXiv 2403.09338, Figure 3), without its padding.
    """
    at_least(1, size, "backbone.scan.size")
    patterns = []
    for view in (cells(grid), cells(grid).swapaxes(1, 2)):
        bands = [view[:, top : top + size] for top in range(0, view.shape[1], size)]
        tiles = [band[:, :, left : left + size] for band in bands for left in range(0, view.shape[2], size)]
        order = in_parts(tiles, independent, f"windows of {size} x {size} do not divide {grid}")
        patterns += [order, order[..., ::-1] if independent else order[::-1]]
    return patterns[:count]
