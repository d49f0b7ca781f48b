"""Shuffled."""

from __future__ import annotations

import numpy as np

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("scan", "random")
def random(
    grid: Grid,
    *,
    count: int = 8,  # orders, cycled over the blocks
    seed: int = 0,
) -> list[np.ndarray]:
    """Shuffled cells of all frames, the same whenever and wherever the recipe is read.

    The bits come straight from a generator whose stream is fixed, so that no weights ever meet another order.
    Errors: RecipeError for no orders or a negative seed.
    Source: ZigMa (arXiv 2403.13802), whose random baseline draws a new order whenever it is built.
    """
    at_least(1, count, "backbone.scan.count")
    at_least(0, seed, "backbone.scan.seed")
    draws = [np.random.Philox(key=[seed, k]).random_raw(grid.cells) for k in range(count)]
    return [np.argsort(draw, kind="stable") for draw in draws]
