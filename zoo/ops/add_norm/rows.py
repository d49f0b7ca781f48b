"""A modulation vector: a tensor, or a sum that the fused kernels take themselves where they read it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class RowSum(NamedTuple):
    """What all blocks share plus what is one block's own, not added yet.

    shared (B,1,D), any stride over B; table (D,).
    """

    shared: Tensor
    table: Tensor

    @property
    def value(self) -> Tensor:
        """The sum, (B,1,D)."""
        return self.shared + self.table


Row = Tensor | RowSum
"""A shift, a scale or a gate, (B,1,D)."""


def plain(row: Row | None) -> Tensor | None:
    """The row as a tensor (B,1,D): for everything but the fused kernels."""
    return row.value if isinstance(row, RowSum) else row


def apart(row: Row | None) -> tuple[Tensor | None, Tensor | None]:
    """The row as the operators take it: a tensor, and a table to add or None."""
    return row if isinstance(row, RowSum) else (row, None)


def modulated(n: Tensor, shift: Row | None, scale: Row | None) -> Tensor:
    """n * (1 + scale) + shift, (B,L,D); None is 0."""
    shift, scale = plain(shift), plain(scale)
    n = n if scale is None else n * (1 + scale)
    return n if shift is None else n + shift
