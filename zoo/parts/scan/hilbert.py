"""Hilbert's curve on any rectangle."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np

from zoo.grid import Grid
from zoo.parts.paths import along, turned
from zoo.registry import register


@register("scan", "hilbert")
def hilbert(
    grid: Grid,
    *,
    count: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8,  # how many of its eight images by turning and transposing
    inverse: bool = False,  # visit cell k at the curve's k-th cell's place: what ZigMa computes, not continuous
) -> list[np.ndarray]:
    """A curve that keeps near cells near: each step goes to a neighbour, but for one diagonal in some grids.

    Its images are turned by 0, 90, 180 and 270 degrees, each also transposed.
    Source: Hilbert (1891), generalised to rectangles; ZigMa (arXiv 2403.13802) as a baseline.
    """
    orders = [along(view, *_curve(*view.shape[1:])) for view in turned(grid)[:count]]
    return [np.argsort(order) for order in orders] if inverse else orders


@lru_cache(maxsize=64)
def _curve(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns in the curve's order, from the top left, leaving along the longer side."""
    right, down = np.array([0, 1]), np.array([1, 0])
    places: list[np.ndarray] = []
    long, short = ((width, right), (height, down)) if width > height else ((height, down), (width, right))
    _fill(np.array([0, 0]), *long, *short, places)
    rows, columns = np.array(places).T
    return rows, columns


def _fill(start: np.ndarray, n: int, along_n: np.ndarray, m: int, along_m: np.ndarray, places: list) -> None:
    """Fill n x m cells, entering at `start` and leaving n-1 steps `along_n` from it.

    Halves are made even where they can be: only then does each part end beside the next one's start.
    """
    if m == 1:
        places.extend(start + k * along_n for k in range(n))
    elif n == 1:
        places.extend(start + k * along_m for k in range(m))
    elif 2 * n > 3 * m:  # long: two parts, one behind the other
        half = _even_half(n)
        _fill(start, half, along_n, m, along_m, places)
        _fill(start + half * along_n, n - half, along_n, m, along_m, places)
    else:  # up the side, across, and down the other side
        half, side = _even_half(m), n // 2
        _fill(start, half, along_m, side, along_n, places)
        _fill(start + half * along_m, n, along_n, m - half, along_m, places)
        corner = start + (n - 1) * along_n + (half - 1) * along_m
        _fill(corner, half, -along_m, n - side, -along_n, places)


def _even_half(n: int) -> int:
    half = n // 2
    return half + 1 if half % 2 and n > 2 else half
