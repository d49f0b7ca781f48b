"""Local enhancement inside every block."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.grid import Grid
from zoo.parts.enhancer.depthwise_conv import DepthwiseConv
from zoo.parts.protocols import Condition, Feedforward
from zoo.registry import Make, register


@register("feedforward", "depthwise_conv")
class LocalConv(nn.Module):
    """A depthwise convolution over the cells of each frame, pads included, as a sublayer of every block.

    n (B,L,D) -> (B,L,D), 0 for tokens that are no cells. With `then`, that sublayer reads n plus this.
    Source: DiG (arXiv 2405.18428, spatial reorient and enhancement module), there after each block.
    """

    source = ()

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        kernel: Literal[3, 5, 7] = 3,  # patches a side that are read
        then: Make[Feedforward] = "none",  # a sublayer that works on the result, such as mlp
    ):
        super().__init__()
        self.local = DepthwiseConv(width, kernel=kernel)
        self.then: nn.Module | None = then(width, depth)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        front, cells, ends = n.split([grid.prefix, grid.cells, grid.line_ends], 1)
        mixed = torch.cat([torch.zeros_like(front), self.local(cells, grid), torch.zeros_like(ends)], 1)
        return mixed if self.then is None else self.then(n + mixed, order, grid, cond)
