"""Row by row."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.registry import register


@register("scan", "raster", aliases=("one_way",))
def raster(grid: Grid) -> list[np.ndarray]:
    """Every block reads the cells row by row, left to right."""
    return [np.arange(grid.cells)]
