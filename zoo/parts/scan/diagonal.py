"""Along the diagonals."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import along, from_corners
from zoo.registry import register


@register("scan", "diagonal", aliases=("jpeg",))
def diagonal(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of the eight, in their order
) -> list[np.ndarray]:
    """Diagonals there and back, as JPEG reads its coefficients, from each corner and with either first step.

    Source: DiMSUM (NeurIPS 2024, JPEG-8).
    """
    return [along(view, *_curve(*view.shape[1:])) for view in from_corners(grid)[:count]]


def _curve(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.divmod(np.arange(height * width), width)
    which = rows + columns
    order = np.lexsort((np.where(which % 2, rows, -rows), which))
    return rows[order], columns[order]
