"""No mixing of neighbours."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.registry import register


@register("enhancer", "none")
class NoEnhancer(nn.Module):
    """Leaves the patches alone."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        return tokens
