"""No positions."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.registry import register


@register("position", "none")
class NoPosition(nn.Module):
    """Adds nothing; a causal scan knows where it is from what it has read."""

    def __init__(self, width: int, grid: Grid, prefix: int):
        super().__init__()

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        return prefix, tokens
