"""Layer normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.ops.add_norm import Row, add_norm
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("norm", "layer")
class LayerNorm(nn.Module):
    """(x - mean) / deviation, with a learned weight and bias if `affine`, then (1 + scale) and shift.

    h (B,L,D), shift and scale (B,1,D) or None -> x = h.value and its norm, each (B,L,D).
    Source: Ba et al. (arXiv 1607.06450).
    """

    def __init__(self, width: int, *, affine: bool = True, eps: float = 1e-5):  # added to the variance
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None

    def forward(self, h: Stream, shift: Row | None = None, scale: Row | None = None) -> tuple[Tensor, Tensor]:
        return add_norm(h.x, h.y, h.gate, self.weight, self.bias, shift, scale, self.eps, centred=True)
