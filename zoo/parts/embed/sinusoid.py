"""The time as a raw sinusoid, without parameters."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.errors import positive
from zoo.parts.sinusoids import halves, sinusoid
from zoo.registry import register


@register("embed", "sinusoid")
class Sinusoid(nn.Module):
    """Network time as [cos | sin] of the model's width, without a learned parameter.

    t (B,) in network time -> (B,1,D). Source: U-ViT (arXiv 2209.12152), DiM (arXiv 2405.14224) as released.
    """

    reads, count = "t", 1

    def __init__(self, width: int, *, period: float = 10000.0):  # the longest wavelength over 2 pi
        super().__init__()
        halves(width, "backbone.width")
        positive(period, "period of sinusoid")
        self.width, self.period = width, period

    def forward(self, t: Tensor) -> Tensor:
        return sinusoid(t, self.width, self.period)[:, None]
