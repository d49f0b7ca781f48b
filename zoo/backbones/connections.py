"""Long connections during one pass through the blocks."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from zoo.parts.protocols import Skip, Stream


class Connections:
    """What some blocks leave for later ones.

    Where the stream itself is kept, the norm of the next block adds it up in passing; it is added up apart only where
    a block begins with a connection, which reads the sum.
    """

    def __init__(self, skip: Skip, sources: Collection[int]):
        self.skip, self.sources = skip, sources
        self.kept: dict[int, Tensor] = {}
        self.due: int | None = None

    def enter(self, i: int, h: Stream) -> tuple[Stream, Tensor | None]:
        """The stream as block i receives it, and what was kept for it."""
        source = self.skip.source(i)
        if source is None:
            return h, None
        if self.skip.keeps_sum:
            h = h.settled()
        if self.due is not None:
            h, self.kept[self.due] = self.skip.keep(h)
            self.due = None
        return h, self.kept.pop(source)

    def leave(self, i: int, began: Stream, h: Stream) -> Stream:
        """The stream behind block i, which began with `began`."""
        if self.due is not None:
            self.kept[self.due] = began.value if h.entry is None else h.entry
            self.due = None
        if i in self.sources:
            if self.skip.keeps_sum:
                self.due = i
            else:
                h, self.kept[i] = self.skip.keep(h)
        return h
