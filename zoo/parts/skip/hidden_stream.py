"""Long connections between what blocks add, beside the residual stream."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.ops.add_norm import plain
from zoo.parts.long_skips import LongSkips
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("skip", "hidden_stream")
class HiddenStream(LongSkips):
    """A block of the second half merges what the block before it adds with what an early block added.

    The last block pairs with the first; the residual stream itself runs straight through.
    Errors: RecipeError for an even depth. Source: DiS (arXiv 2402.05608, 3.2) as released.
    """

    keeps_sum = False

    def __init__(self, width: int, depth: int):
        super().__init__(width, depth, start=0)

    def keep(self, h: Stream) -> tuple[Stream, Tensor]:
        """The stream as it is; kept is what its last branch adds."""
        return h, _branch(h)

    def block(self, i: int) -> nn.Module | None:
        return None if self.source(i) is None else _Merge(2 * self.width, self.width)


class _Merge(nn.Linear):
    """weight (D,2D): the half of the block before first, that of the early block second."""

    def forward(self, h: Stream, kept: Tensor) -> Stream:  # type: ignore[override]
        before, early = self.weight.chunk(2, 1)  # two products instead of a concatenated copy
        return Stream(h.x, F.linear(_branch(h), before, self.bias) + F.linear(kept, early))


def _branch(h: Stream) -> Tensor:
    """What the last block adds to the stream, gated."""
    if h.y is None:
        return torch.zeros_like(h.x)
    gate = plain(h.gate)
    return h.y if gate is None else h.y * gate
