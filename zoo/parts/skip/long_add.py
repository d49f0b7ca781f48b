"""Long connections that add."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zoo.parts.long_skips import LongSkips
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("skip", "long_add")
class LongAdd(LongSkips):
    """Blocks of the second half read the stream plus an early block's output; no weights.

    Errors: RecipeError for an even depth. Source: U-ViT (arXiv 2209.12152, Figure 2a, "h_m + h_s").
    """

    def __init__(self, width: int, depth: int, *, start: Literal[0, 1] = 0):  # the first block whose output is used
        super().__init__(width, depth, start)

    def block(self, i: int) -> nn.Module | None:
        return None if self.source(i) is None else _Add()


class _Add(nn.Module):
    def forward(self, h: Stream, kept: Tensor) -> Stream:
        return Stream(h.value + kept)
