"""Peano's curve on any rectangle."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import along, turned
from zoo.registry import register


@register("scan", "peano")
def peano(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of its eight images by turning and transposing
) -> list[np.ndarray]:
    """Thirds of thirds, each up and down again; it never jumps where both sides are odd.

    Its images are turned by 0, 90, 180 and 270 degrees, each also transposed.
    Source: Peano (1890), of sides 3^k; ours for other sides.
    """
    return [along(view, *np.divmod(_curve(*view.shape[1:]).ravel(), view.shape[2])) for view in turned(grid)[:count]]


@lru_cache(maxsize=64)
def _curve(height: int, width: int) -> np.ndarray:
    """The raster index at each step from the top left to the bottom right."""
    if height * width == 1:
        return np.zeros(1, int)
    steps, left = [], 0
    for j, w in enumerate(_parts(width)):
        heights = _parts(height)
        tops = np.cumsum([0, *heights])
        for i in reversed(range(len(heights))) if j % 2 else range(len(heights)):
            rows, columns = np.divmod(_curve(heights[i], w), w)
            rows = heights[i] - 1 - rows if j % 2 else rows
            columns = w - 1 - columns if i % 2 else columns
            steps.append((tops[i] + rows) * width + left + columns)
        left += w
    return np.concatenate(steps)


def _parts(n: int) -> list[int]:
    """Three parts, the outer two of odd length: only then does the curve through each end where the next begins."""
    outer = n // 3 | 1
    return [part for part in (outer, n - 2 * outer, outer) if part] if n > 2 else [1] * n
