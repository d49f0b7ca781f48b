"""A learned table of positions, resized for other grids."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("position", "learned")
class LearnedPosition(nn.Module):
    """One learned vector a cell and one a prefix token.

    prefix (B,P,D), tokens (B,T*H*W,D) -> the same with positions added. On a grid of another height or
    width the table is resized bilinearly (corners not aligned, no antialiasing), as DiM does
    (arXiv 2405.14224, 3.4); frames share the table.
    """

    def __init__(
        self,
        width: int,
        grid: Grid,
        prefix: int,
        *,
        std: float = 0.0,  # of the table at the start
    ):
        super().__init__()
        at_least(0, std, "backbone.position.std")
        self.std = std
        self.prefix = nn.Parameter(torch.zeros(prefix, width)) if prefix else None
        self.table = nn.Parameter(torch.zeros(grid.height, grid.width, width))

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        table = resize(self.table, grid.height, grid.width).flatten(0, 1)
        return prefix if self.prefix is None else prefix + self.prefix, tokens + table.repeat(grid.frames, 1)

    def adapt(self, name: str, saved: Tensor) -> Tensor | None:
        """A saved table, resized to this grid as in `forward`; prefix tokens do not change their number."""
        if name != "table" or saved.shape[-1] != self.table.shape[-1]:
            return None
        return resize(saved, *self.table.shape[:2])

    def reset(self, depth: int) -> None:
        """Zero, or normal as the recipe says."""
        for table in self.parameters():
            nn.init.normal_(table, std=self.std) if self.std else nn.init.zeros_(table)


def resize(table_HWD: Tensor, height: int, width: int) -> Tensor:
    """The table for another grid, (height,width,D); the same tensor if nothing changes."""
    if table_HWD.shape[:2] == (height, width):
        return table_HWD
    # rows, then columns, as matrix products: PyTorch's own kernel takes a hundred times as long for so many channels
    rows, columns = (_bilinear(n, m, table_HWD.device) for n, m in zip(table_HWD.shape, (height, width)))
    with torch.autocast(table_HWD.device.type, enabled=False):
        return torch.einsum("hH,wW,HWd->hwd", rows, columns, table_HWD.float()).to(table_HWD.dtype)


def _bilinear(old: int, new: int, device: torch.device) -> Tensor:
    """Weights (new, old) that interpolate between pixel centres, as `align_corners=False`."""
    at = ((torch.arange(new, device=device) + 0.5) * (old / new) - 0.5).clamp(0, old - 1)
    return (1 - (at[:, None] - torch.arange(old, device=device)).abs()).clamp(min=0)
