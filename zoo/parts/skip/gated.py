"""Long connections through a learned gate."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.parts.long_skips import LongSkips
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("skip", "gated")
class Gated(LongSkips):
    """Blocks of the second half read the stream plus an early block's output times a learned factor a channel.

    At the start all factors are `gate`; 0 begins as a plain column of blocks. Errors: RecipeError for an even depth.
    Source: ReZero (arXiv 2003.04887, Eq. 1), here for long connections.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        start: Literal[0, 1] = 0,  # the first block whose output is used
        gate: float = 0.0,  # the factors at the start
    ):
        super().__init__(width, depth, start)
        self.gate = gate

    def block(self, i: int) -> nn.Module | None:
        return None if self.source(i) is None else _Gate(self.width, self.gate)


class _Gate(nn.Module):
    def __init__(self, width: int, start: float):
        super().__init__()
        self.start = start
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, h: Stream, kept: Tensor) -> Stream:
        return Stream(torch.addcmul(h.value, self.weight.to(kept.dtype), kept))

    def reset(self, depth: int) -> None:
        """All alike."""
        nn.init.constant_(self.weight, self.start)
