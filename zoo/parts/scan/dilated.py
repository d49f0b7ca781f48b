"""Every second cell, then those left out."""

from __future__ import annotations

import numpy as np

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.parts.paths import cells, in_parts
from zoo.registry import register


@register("scan", "dilated")
def dilated(
    grid: Grid,
    *,
    step: int = 2,  # distance of cells that are neighbours in the sequence
    independent: bool = False,  # the step x step parts are sequences of their own; they must then be equally long
) -> list[np.ndarray]:
    """Parts of every `step`-th cell both ways: those of even rows by rows, those of odd rows by columns; reversed.

    A part begins at each cell of the first step x step, column by column.
    Errors: RecipeError for no step, ShapeError if independent parts differ in length.
    Source: EfficientVMamba (arXiv 2403.09977, Figure 3, atrous selective scan), without its padding.
    """
    at_least(1, step, "backbone.scan.step")
    view = cells(grid)
    parts = [view[:, row::step, column::step] for column in range(step) for row in range(step)]
    parts = [part.swapaxes(1, 2) if k % step % 2 else part for k, part in enumerate(parts)]
    order = in_parts(parts, independent, f"a step of {step} does not divide {grid}")
    return [order, order[..., ::-1] if independent else order[::-1]]
