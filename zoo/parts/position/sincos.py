"""A fixed table of sines and cosines."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import positive
from zoo.grid import Grid
from zoo.parts.position.learned import resize
from zoo.registry import register


@register("position", "sincos")
class SinCosPosition(nn.Module):
    """Half of the channels tell the column, half the row, each as [sin | cos]; not trained.

    prefix (B,P,D) unchanged, tokens (B,T*H*W,D) with positions added; resized bilinearly on another grid.
    Source: DiT (arXiv 2212.09748), MAE (arXiv 2111.06377).
    """

    def __init__(self, width: int, grid: Grid, prefix: int, *, period: float = 10000.0):  # longest wavelength over 2 pi
        super().__init__()
        positive(period, "backbone.position.period")
        self.period = period
        self.table = nn.Parameter(torch.empty(grid.height, grid.width, width), requires_grad=False)

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        table = resize(self.table, grid.height, grid.width).flatten(0, 1)
        return prefix, tokens + table.repeat(grid.frames, 1)

    def reset(self, depth: int) -> None:
        """The table, computed in float64."""
        H, W, D = self.table.shape
        f = self.period ** -(torch.arange(D // 4, dtype=torch.float64, device=self.table.device) / (D // 4))
        rows, columns = (torch.arange(n, dtype=torch.float64, device=self.table.device)[:, None] * f for n in (H, W))
        waves = [torch.cat([angle.sin(), angle.cos()], 1) for angle in (columns, rows)]
        with torch.no_grad():
            self.table[..., : D // 2] = waves[0][None]
            self.table[..., D // 2 :] = waves[1][:, None]
