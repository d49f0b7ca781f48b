"""Square patches by a convolution whose stride is its kernel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import RecipeError, ShapeError, at_least
from zoo.grid import Grid
from zoo.registry import register


@register("patch", "conv")
class ConvPatch(nn.Module):
    """Non-overlapping square patches by one linear map, folded back as (row, column, channel).

    x (B,T,C,H,W) -> tokens (B, T*H/p*W/p, D) in raster order; values (B,L,p*p*out) -> (B,T,out,H,W).
    Errors: ShapeError if height or width is not a multiple of the patch.
    Source: ViT (arXiv 2010.11929); the refining convolution is U-ViT's (arXiv 2209.12152, 3.1).
    """

    def __init__(
        self,
        width: int,
        channels: int,
        out_channels: int,
        *,
        size: int = 2,  # pixels a side
        refine: int = 0,  # kernel of a last convolution over the image, 0 for none
    ):
        super().__init__()
        at_least(1, size, "backbone.patch.size")
        at_least(0, refine, "backbone.patch.refine")
        if refine and refine % 2 == 0:
            raise RecipeError(f"a kernel of {refine} pixels has no middle", where="backbone.patch.refine",
                              fix=f"use {refine - 1} or {refine + 1}")
        self.size, self.channels, self.out_channels = size, channels, out_channels
        self.values = size * size * out_channels
        self.proj = nn.Conv2d(channels, width, size, size)
        self.refine = nn.Conv2d(out_channels, out_channels, refine, padding=refine // 2) if refine else None

    @property
    def weight(self) -> Tensor:
        """The projection's weight, (D,C,p,p); its dtype is the model's."""
        return self.proj.weight

    def grid(self, height: int, width: int, frames: int = 1) -> Grid:
        """The token grid of images of this size in pixels."""
        if height % self.size or width % self.size:
            fits = [n // self.size * self.size for n in (height, width)]
            raise ShapeError(f"an image of {height}x{width} cannot be cut into patches of {self.size}x{self.size}",
                             fix=f"use multiples of {self.size}, for instance {fits[0]}x{fits[1]}")
        return Grid(height // self.size, width // self.size, frames)

    def adapt(self, name: str, saved: Tensor) -> Tensor | None:
        """The projection for another number of channels: those that both have, and none of the new ones at first."""
        if name != "proj.weight" or saved.shape[2:] != self.weight.shape[2:] or len(saved) != len(self.weight):
            return None
        shared, fitting = min(self.channels, saved.shape[1]), torch.zeros_like(self.weight)
        fitting[:, :shared] = saved[:, :shared]
        return fitting

    def forward(self, x_BTCHW: Tensor) -> tuple[Tensor, Grid]:
        B, T, C, H, W = x_BTCHW.shape
        if self.channels != C:
            raise ShapeError(f"this model takes {self.channels} channels, the images have {C}")
        grid, p = self.grid(H, W, T), self.size
        cells = x_BTCHW.reshape(B, T, C, grid.height, p, grid.width, p).permute(0, 1, 3, 5, 2, 4, 6)
        flat = cells.reshape(B, grid.cells, C * p * p).to(self.weight.dtype)
        return F.linear(flat, self.weight.flatten(1), self.proj.bias), grid

    def fold(self, values: Tensor, grid: Grid) -> Tensor:
        """values (B,L,p*p*out), channels fastest -> images (B,T,out,H,W)."""
        p, C = self.size, self.out_channels
        cells = values.reshape(-1, grid.frames, grid.height, grid.width, p, p, C)
        image = cells.permute(0, 1, 6, 2, 4, 3, 5).reshape(-1, grid.frames, C, grid.height * p, grid.width * p)
        return image if self.refine is None else torch.unflatten(self.refine(image.flatten(0, 1)), 0, image.shape[:2])
