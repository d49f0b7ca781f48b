"""VMamba's cross scan."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import cells
from zoo.registry import register


@register("scan", "cross")
def cross(grid: Grid) -> list[np.ndarray]:
    """Rows, columns, rows reversed, columns reversed; inside one block with `together`.

    Source: VMamba (arXiv 2401.10166, Figure 3, SS2D).
    """
    rows = cells(grid).ravel()
    columns = cells(grid).swapaxes(1, 2).ravel()
    return [rows, columns, rows[::-1], columns[::-1]]
