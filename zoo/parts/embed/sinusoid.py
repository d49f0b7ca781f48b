"""The time as a raw sinusoid, without parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.registry import register


def sinusoid(t: Tensor, width: int, period: float = 10000.0) -> Tensor:
    """[cos(t f), sin(t f)] with f_k = period^(-k/(width/2)); t (B,) -> (B,width) in float32."""
    half = width // 2
    f = torch.exp(-math.log(period) / half * torch.arange(half, device=t.device, dtype=torch.float32))
    angles = t.float()[:, None] * f
    return torch.cat([angles.cos(), angles.sin()], 1)


@register("embed", "sinusoid")
class Sinusoid(nn.Module):
    """Network time as [cos | sin] of the model's width, without a learned parameter.

    t (B,) in network time -> (B,1,D). Source: U-ViT (arXiv 2209.12152), DiM (arXiv 2405.14224) as released.
    """

    reads, count = "t", 1

    def __init__(self, width: int, *, period: float = 10000.0):  # the longest wavelength over 2 pi
        super().__init__()
        self.width, self.period = width, period

    def forward(self, t: Tensor) -> Tensor:
        return sinusoid(t, self.width, self.period)[:, None]
