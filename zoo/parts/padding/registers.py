"""Learned tokens beside the patches."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("padding", "registers")
class Registers(nn.Module):
    """`count` learned tokens that stand behind the prefix and belong to no place: room for what is global.

    prefix (B,P,D) -> (B,P+count,D); the patches stay as they are. A scan meets them where it meets the prefix.
    Source: Vision Transformers Need Registers (arXiv 2309.16588, 2.2).
    """

    def __init__(
        self,
        width: int,
        *,
        count: int = 4,
        std: float = 0.02,  # of the tokens at the start
    ):
        super().__init__()
        at_least(1, count, "backbone.padding.count")
        at_least(0, std, "backbone.padding.std")
        self.std = std
        self.tokens = nn.Parameter(torch.empty(count, width))

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        registers = self.tokens.to(tokens.dtype).expand(len(tokens), -1, -1)
        return torch.cat([prefix, registers], 1), tokens, grid

    def reset(self, depth: int) -> None:
        """Normal tokens."""
        nn.init.normal_(self.tokens, std=self.std)
