"""A fixed table of sines and cosines over frames, rows and columns."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import positive
from zoo.grid import Grid
from zoo.registry import register


@register("position", "sincos_space_time")
class SinCosSpaceTimePosition(nn.Module):
    """A quarter of the channels tells the frame, the rest in halves column and row, each as [sin | cos]; no weights.

    prefix (B,P,D) unchanged, tokens (B,T*H*W,D) with positions added. Positions are counted from the first frame,
    row and column, so that a longer or larger video begins like a shorter one.
    Errors: none; channels that are left over stay as they are.
    Source: the sines of Attention Is All You Need (arXiv 1706.03762, 3.5), split over three axes.
    """

    def __init__(self, width: int, grid: Grid, prefix: int, *, period: float = 10000.0):  # longest wavelength over 2 pi
        super().__init__()
        positive(period, "backbone.position.period")
        self.period = period
        frame, column = width // 4 // 2 * 2, (width - width // 4) // 2 // 2 * 2
        self.channels = (frame, column, column)

    def forward(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        waves = torch.zeros(grid.frames, grid.height, grid.width, tokens.shape[-1], device=tokens.device)
        used = 0
        for axis, (count, channels) in enumerate(zip((grid.frames, grid.width, grid.height), self.channels)):
            along = [1, 1, 1, channels]
            along[(0, 2, 1)[axis]] = count
            waves[..., used : used + channels] = self.wave(count, channels, tokens.device).view(along)
            used += channels
        return prefix, tokens + waves.flatten(0, 2).to(tokens.dtype)

    def wave(self, count: int, channels: int, device: torch.device) -> Tensor:
        """(count, channels): [sin | cos] of places 0, 1, ... at falling frequencies."""
        half = channels // 2
        falling = self.period ** -(torch.arange(half, device=device) / max(half, 1))
        angle = torch.arange(count, device=device)[:, None] * falling
        return torch.cat([angle.sin(), angle.cos()], 1)
