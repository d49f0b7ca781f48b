"""Zeros to the right of and below the patches."""

from __future__ import annotations

from dataclasses import replace

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("padding", "zeros")
class Zeros(nn.Module):
    """Pads that are zero before the first block: what learned pads are compared with, and what windows may need.

    tokens of H x W cells -> of (H+a) x (W+b), a and b the fewest from `count` on that make both sides divisible.
    Source: LocalMamba (arXiv 2403.09338) and EfficientVMamba (arXiv 2403.09977) pad to multiples so.
    """

    def __init__(
        self,
        width: int,
        *,
        count: int = 1,  # pads a line at least
        multiple: int = 1,  # of which both sides must be
    ):
        super().__init__()
        at_least(0, count, "backbone.padding.count")
        at_least(1, multiple, "backbone.padding.multiple")
        self.count, self.multiple = count, multiple

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        below, beside = (self.count + -(side + self.count) % self.multiple for side in (grid.height, grid.width))
        frames = tokens.unflatten(1, (grid.frames, grid.height, grid.width))
        cells = F.pad(frames, (0, 0, 0, beside, 0, below)).flatten(1, 3)
        height, width = grid.height + below, grid.width + beside
        return prefix, cells, replace(grid, height=height, width=width, pad_bottom=below, pad_right=beside)
