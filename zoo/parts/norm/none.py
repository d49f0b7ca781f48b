"""No normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.parts.protocols import Stream
from zoo.registry import register


@register("norm", "none")
class NoNorm(nn.Module):
    """Settles the stream and modulates it, without normalising."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, h: Stream, shift: Tensor | None = None, scale: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = h.value
        n = x if scale is None else x * (1 + scale)
        return x, n if shift is None else n + shift
