"""Local feature enhancement by a depthwise convolution."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.registry import register


@register("enhancer", "depthwise_conv")
class DepthwiseConv(nn.Module):
    """A depthwise convolution over the patches of each frame, zero padded, without activation.

    tokens (B,T*H*W,D) -> the same shape. As released it replaces the features; `residual` adds to them.
    In every block instead: `feedforward: depthwise_conv`.
    Source: DiM (arXiv 2405.14224, 3.3, "lightweight local feature enhancement").
    """

    def __init__(
        self,
        width: int,
        *,
        kernel: Literal[3, 5, 7] = 3,  # patches a side that are read
        residual: bool = False,  # add to the features instead of replacing them
    ):
        super().__init__()
        self.residual = residual
        self.conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        image = tokens.reshape(-1, grid.height, grid.width, tokens.shape[-1]).permute(0, 3, 1, 2)
        mixed = self.conv(image).permute(0, 2, 3, 1).reshape(tokens.shape)
        return tokens + mixed if self.residual else mixed
