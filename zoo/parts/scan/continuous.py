"""Serpentines that never jump, forwards and backwards."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import cells, serpentine
from zoo.registry import register


@register("scan", "continuous")
def continuous(grid: Grid) -> list[np.ndarray]:
    """Rows there and back, the same reversed, columns there and back, the same reversed.

    Source: PlainMamba (arXiv 2403.17695, Figure 3, continuous 2D scanning).
    """
    rows, columns = serpentine(cells(grid)), serpentine(cells(grid).swapaxes(1, 2))
    return [rows, rows[::-1], columns, columns[::-1]]
