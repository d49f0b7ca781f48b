"""Row by row, forwards and backwards in turn."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.registry import register


@register("scan", "two_way")
def two_way(grid: Grid) -> list[np.ndarray]:
    """Rows forwards, then the reverse. Source: DiM (arXiv 2405.14224, Table 6, patterns 1 and 2)."""
    rows = np.arange(grid.cells)
    return [rows, rows[::-1]]
