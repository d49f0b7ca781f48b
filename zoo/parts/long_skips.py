"""Which blocks a long skip joins: a U-Net's pairs in a column of blocks."""

from __future__ import annotations

from torch import Tensor

from zoo.errors import RecipeError
from zoo.parts.protocols import Stream


class LongSkips:
    """Of an odd number of blocks, those behind the middle receive the stream behind block depth-1+start-i.

    With `start` 0 the last pairs with the first (U-ViT); with 1 (DiM as released) the block behind the middle receives
    its own input and the first block's output is never used.
    Errors: RecipeError for an even depth. Source: U-ViT (arXiv 2209.12152, Eq. 3); DiM (arXiv 2405.14224, 3.2).
    """

    keeps_sum = True

    def __init__(self, width: int, depth: int, start: int):
        if depth % 2 == 0:
            raise RecipeError(f"long skips need an odd number of blocks, not {depth}", where="backbone.depth",
                              fix=f"use {depth - 1} or {depth + 1}")
        self.width, self.depth, self.start = width, depth, start

    def source(self, i: int) -> int | None:
        """The block whose output block i receives."""
        return self.depth - 1 + self.start - i if i > self.depth // 2 else None

    def keep(self, h: Stream) -> tuple[Stream, Tensor]:
        """The stream with its branch added, also to be kept."""
        settled = h.settled()
        return settled, settled.x
