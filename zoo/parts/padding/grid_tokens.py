"""Pads to the right of and below the patches, and separator tokens behind the prefix."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("padding", "grid_tokens")
class GridTokens(nn.Module):
    """`count` learned pads at the end of every row and of every column, shared by all of them.

    prefix (B,P,D) -> (B,P+separators,D); tokens of H x W cells -> of (H+count) x (W+count). Column W+k
    holds pad k. The bottom rows hold pad k in row H+k (`by_row`), or the pads in turn along the raster
    (`cyclic`), which makes the pattern depend on the width. Source: DiM as released (arXiv 2405.14224).
    """

    def __init__(
        self,
        width: int,
        *,
        count: int = 3,  # pads a line
        separators: int = 0,  # learned tokens between prefix and patches
        bottom: Literal["by_row", "cyclic"] = "by_row",
        std: float = 0.02,  # of the pads at the start
    ):
        super().__init__()
        at_least(1, count, "backbone.padding.count")
        at_least(0, separators, "backbone.padding.separators")
        at_least(0, std, "backbone.padding.std")
        self.count, self.bottom, self.std = count, bottom, std
        self.pads = nn.Parameter(torch.empty(count, width))
        self.separators = nn.Parameter(torch.empty(separators, width))

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        B, index = len(tokens), _places(grid.sizes, self.count, self.bottom, str(tokens.device))
        prefix = torch.cat([prefix, self.separators.to(prefix.dtype).expand(B, -1, -1)], 1)
        cells = torch.cat([tokens, self.pads.to(tokens.dtype).expand(B, -1, -1)], 1).index_select(1, index)
        height, width = grid.height + self.count, grid.width + self.count
        return prefix, cells, replace(grid, height=height, width=width, pad_bottom=self.count, pad_right=self.count)

    def adapt(self, name: str, saved: Tensor) -> Tensor | None:
        """Saved pads or separators in turn, if there are now more of them; the first ones, if fewer."""
        own = getattr(self, name)
        if not len(saved) or saved.shape[1:] != own.shape[1:]:
            return None
        return saved[torch.arange(len(own), device=saved.device) % len(saved)]

    def reset(self, depth: int) -> None:
        """Normal pads and separators."""
        nn.init.normal_(self.pads, std=self.std)
        nn.init.normal_(self.separators, std=self.std)


@torch.compiler.assume_constant_result
def _places(*key: Any) -> Tensor:
    return _cached_places(*key)


@lru_cache(maxsize=64)
def _cached_places(sizes: tuple[int, ...], count: int, bottom: str, device: str) -> Tensor:
    """For each cell of the padded grid: its patch, or grid.cells + k for pad k; on the device, as a copy would wait."""
    grid = Grid(*sizes)
    H, W = grid.height, grid.width
    index = torch.empty(grid.frames, H + count, W + count, dtype=torch.int64, device="cpu")
    index[:, :H, :W] = torch.arange(grid.cells, device="cpu").view(grid.frames, H, W)
    index[:, :, W:] = grid.cells + torch.arange(count, device="cpu")
    below = torch.arange(count * (W + count), device="cpu").view(count, -1)
    index[:, H:] = grid.cells + (below // (W + count) if bottom == "by_row" else below % count)
    return index.flatten().to(device)
