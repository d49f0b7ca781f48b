"""Morton's order."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import along, turned
from zoo.registry import register


@register("scan", "morton", aliases=("z_order",))
def morton(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of its eight images by turning and transposing
) -> list[np.ndarray]:
    """Quarters of quarters, each like the letter Z: cells by the bits of row and column in turn.

    Its images are turned by 0, 90, 180 and 270 degrees, each also transposed. Source: Morton (1966).
    """
    return [along(view, *_curve(*view.shape[1:])) for view in turned(grid)[:count]]


def _curve(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.divmod(np.arange(height * width), width)
    bits = range(max(height, width).bit_length())
    keys = sum((rows >> b & 1) << 2 * b + 1 | (columns >> b & 1) << 2 * b for b in bits)
    return np.divmod(np.argsort(keys), width)
