"""A published defect of video scans: the output of a row is written in reverse."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.grid import Grid
from zoo.parts.protocols import Condition, Mixer
from zoo.registry import Make, register


@register("mixer", "written_backwards")
class WrittenBackwards(nn.Module):
    """What another mixer computes at step k of n is written where step n-1-k was read.

    n (B,L,D) -> (B,L,D). ZigMa's released video code (arXiv 2403.13802) does so in its blocks over time,
    having swapped the inverses of its two orders; not to be chosen for a new model.
    """

    source = ()

    def __init__(self, width: int, depth: int, *, mixer: Make[Mixer] = "mamba"):  # the mixer that computes
        super().__init__()
        self.inner = mixer(width, depth)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        y = self.inner(n, order, grid, cond)
        if order is None:
            return y.flip(1)
        steps = order.long()
        return torch.empty_like(y).index_copy(1, steps.flatten(), y[:, steps.flip(-1).flatten()])
