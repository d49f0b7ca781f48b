"""Video in turns: each frame by itself, then each place through time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np

from zoo.errors import RecipeError
from zoo.grid import Grid
from zoo.parts.protocols import Scan
from zoo.registry import Make, register


@register("scan", "space_time")
def space_time(
    grid: Grid,
    *,
    space: Make[Scan] = "zigzag",  # the orders within a frame, in turn
    pattern: str = "sst",  # what successive blocks scan: s frames, t time
) -> list[np.ndarray]:
    """A block scans every frame as a sequence of its own, or every place through all frames, as `pattern` says.

    Blocks of t run forwards and backwards in time in turn. Errors: RecipeError for other letters.
    Source: ZigMa (arXiv 2403.13802, 3.4, factorised spatial-temporal scan).
    """
    if not pattern or set(pattern) - {"s", "t"}:
        raise RecipeError(f"pattern {pattern!r}", where="backbone.scan.pattern", fix="write s and t, such as sst")
    frame = replace(grid, frames=1)
    starts = np.arange(grid.frames) * frame.cells
    forwards = np.arange(frame.cells)[:, None] + starts
    scan: Callable[..., Any] = space
    within = [np.atleast_2d(order) for order in scan(frame)]
    orders = {
        "s": [(starts[:, None, None] + order).reshape(-1, order.shape[1]) for order in within],
        "t": [forwards, forwards[:, ::-1]],
    }
    rounds = math.lcm(*(len(each) // math.gcd(len(each), pattern.count(kind)) for kind, each in orders.items()))
    turns = {kind: cycle(each) for kind, each in orders.items()}
    return [next(turns[kind]) for kind in pattern * rounds]
