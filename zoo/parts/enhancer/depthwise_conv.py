"""Local feature enhancement by a depthwise convolution."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.errors import RecipeError, at_least
from zoo.grid import Grid
from zoo.registry import register


@register("enhancer", "depthwise_conv")
class DepthwiseConv(nn.Module):
    """A depthwise convolution over the patches of each frame, zero padded, without activation.

    tokens (B,T*H*W,D) -> the same shape. As released it replaces the features; `residual` adds to them.
    Errors: RecipeError for an even kernel.
    Source: DiM (arXiv 2405.14224, 3.3, "lightweight local feature enhancement").
    """

    def __init__(
        self,
        width: int,
        *,
        kernel: int = 3,  # odd
        residual: bool = False,  # add to the features instead of replacing them
    ):
        super().__init__()
        at_least(1, kernel, "backbone.enhancer.kernel")
        if kernel % 2 == 0:
            raise RecipeError(f"a kernel of {kernel} has no middle", where="depthwise_conv", fix=f"use {kernel + 1}")
        self.residual = residual
        self.conv = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, tokens: Tensor, grid: Grid) -> Tensor:
        image = tokens.reshape(-1, grid.height, grid.width, tokens.shape[-1]).permute(0, 3, 1, 2)
        mixed = self.conv(image).permute(0, 2, 3, 1).reshape(tokens.shape)
        return tokens + mixed if self.residual else mixed
