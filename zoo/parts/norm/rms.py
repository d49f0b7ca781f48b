"""Root-mean-square normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.ops.add_norm import Row, add_norm
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("norm", "rms")
class RMSNorm(nn.Module):
    """x / rms(x) * weight, then (1 + scale) and shift.

    h (B,L,D), shift and scale (B,1,D) or None -> x = h.value and its norm, each (B,L,D).
    Source: Zhang and Sennrich (arXiv 1910.07467).
    """

    def __init__(self, width: int, *, eps: float = 1e-5):  # added to the mean square
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, h: Stream, shift: Row | None = None, scale: Row | None = None) -> tuple[Tensor, Tensor]:
        return add_norm(h.x, h.y, h.gate, self.weight, None, shift, scale, self.eps, centred=False)
