"""No long connections."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.parts.protocols import Stream
from zoo.registry import register


@register("skip", "none")
class NoSkip:
    """A plain stack of blocks."""

    keeps_sum = True

    def __init__(self, width: int, depth: int):
        pass

    def source(self, i: int) -> int | None:
        return None

    def keep(self, h: Stream) -> tuple[Stream, Tensor]:
        return h, h.x

    def block(self, i: int) -> nn.Module | None:
        return None
