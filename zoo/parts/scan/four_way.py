"""Rows and columns, forwards and backwards in turn."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.registry import register


@register("scan", "four_way")
def four_way(grid: Grid) -> list[np.ndarray]:
    """Rows, rows reversed, columns, columns reversed. Source: DiM (arXiv 2405.14224, Figure 3 and 3.3)."""
    rows = np.arange(grid.cells)
    columns = rows.reshape(grid.frames, grid.height, grid.width).transpose(0, 2, 1).ravel()
    return [rows, rows[::-1], columns, columns[::-1]]
