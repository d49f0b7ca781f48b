"""One learned token at the end of every scanned row or column."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("padding", "line_end")
class LineEnd(nn.Module):
    """A learned token that every scan meets at the end of each line, whichever way it runs.

    tokens of H x W cells -> the same and max(H,W) tokens a frame behind them, all equal at first; the
    grid's scan order puts line k's token behind line k (`Grid.order`), as the paper draws it: 272
    tokens for 16 x 16 patches. Source: DiM (arXiv 2405.14224, 3.3, "learnable padding token").
    """

    def __init__(self, width: int, *, std: float = 0.02):  # of the token at the start
        super().__init__()
        at_least(0, std, "backbone.padding.std")
        self.std = std
        self.token = nn.Parameter(torch.empty(width))

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        count = max(grid.height, grid.width) * grid.frames
        ends = self.token.to(tokens.dtype).expand(len(tokens), count, -1)
        return prefix, torch.cat([tokens, ends], 1), replace(grid, line_ends=count)

    def reset(self, depth: int) -> None:
        """A normal token."""
        nn.init.normal_(self.token, std=self.std)
