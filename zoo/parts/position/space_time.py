"""A learned table of positions for every frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.registry import register


@register("position", "space_time")
class SpaceTimePosition(nn.Module):
    """One learned vector a cell of every frame, and with `frames` one more for each frame.

    prefix (B,P,D), tokens (B,T*H*W,D) -> the same with positions added. On another grid, or for another number
    of frames, the tables are resized linearly (corners not aligned). Source: ZigMa (arXiv 2403.13802), whose
    video models learn both tables.
    """

    def __init__(
        self,
        width: int,
        grid: Grid,
        prefix: int,
        *,
        frames: bool = False,  # a second table, one vector a frame
        std: float = 0.0,  # of the tables at the start
    ):
        super().__init__()
        at_least(0, std, "backbone.position.std")
        self.std = std
        self.prefix = nn.Parameter(torch.zeros(prefix, width)) if prefix else None
        self.table = nn.Parameter(torch.zeros(grid.frames, grid.height, grid.width, width))
        self.frames = nn.Parameter(torch.zeros(grid.frames, 1, 1, width)) if frames else None

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        table = _resize(self.table, grid.frames, grid.height, grid.width)
        if self.frames is not None:
            table = table + _resize(self.frames, grid.frames, 1, 1)
        return prefix if self.prefix is None else prefix + self.prefix, tokens + table.flatten(0, 2)

    def reset(self, depth: int) -> None:
        """Zero, or normal as the recipe says."""
        for table in self.parameters():
            nn.init.normal_(table, std=self.std) if self.std else nn.init.zeros_(table)


def _resize(table_THWD: Tensor, *size: int) -> Tensor:
    if table_THWD.shape[:3] == size:
        return table_THWD
    video = table_THWD.permute(3, 0, 1, 2)[None].float()
    resized = F.interpolate(video, size, mode="trilinear", align_corners=False)
    return resized[0].permute(1, 2, 3, 0).to(table_THWD.dtype)
