"""No pads."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.registry import register


@register("padding", "none")
class NoPadding(nn.Module):
    """Leaves the sequence alone."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        return prefix, tokens, grid
