"""What every backend of the selective scan receives, already checked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import order as orders

NDIM = {"u": 3, "dt": 3, "A": 2, "B": 3, "C": 3, "D": 1, "z": 3, "dt_bias": 1}  # of one direction


class Inputs(NamedTuple):
    """B batch, L length, E channels, N state; the first eight have gradients, in this order everywhere.

    With an order of K directions any of the eight may have a dimension of K in front: its own for each direction.
    """

    u: Tensor  # (B, L, E)
    dt: Tensor  # (B, L, E)
    A: Tensor  # (E, N)
    B: Tensor  # (B, L, N)
    C: Tensor  # (B, L, N)
    D: Tensor | None  # (E,)
    z: Tensor | None  # (B, L, E)
    dt_bias: Tensor | None  # (E,)
    order: Tensor | None  # (L,), (rows, steps) or (K, rows, steps)
    softplus: bool
    zoh: bool
    log_A: bool = False  # A is given as log(-A), as weights hold it; so is its gradient

    def with_rates(self) -> Inputs:
        """The same with A itself, at least float32, for a backend that reads no logarithms."""
        return self._replace(A=rates(self.A), log_A=False) if self.log_A else self

    @property
    def rows(self) -> int:
        """Of one direction."""
        return orders.row_count(self.order)


def rates(A_log: Tensor) -> Tensor:
    """A = -exp(A_log), at least float32."""
    return -torch.exp(A_log.float() if A_log.dtype.itemsize < 4 else A_log)


def working_dtype(u: Tensor) -> torch.dtype:
    """State and arithmetic: float64 for float64, else float32."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32
