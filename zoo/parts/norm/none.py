"""No normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.ops.add_norm import Row, modulated
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("norm", "none")
class NoNorm(nn.Module):
    """Settles the stream and modulates it, without normalising."""

    def __init__(self, width: int):
        super().__init__()

    def forward(self, h: Stream, shift: Row | None = None, scale: Row | None = None) -> tuple[Tensor, Tensor]:
        x = h.value
        return x, modulated(x, shift, scale)
