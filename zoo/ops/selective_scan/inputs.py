"""What every backend of the selective scan receives, already checked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """B batch, L length, E channels, N state; the first eight have gradients, in this order everywhere."""

    u: Tensor  # (B, L, E)
    dt: Tensor  # (B, L, E)
    A: Tensor  # (E, N)
    B: Tensor  # (B, L, N)
    C: Tensor  # (B, L, N)
    D: Tensor | None  # (E,)
    z: Tensor | None  # (B, L, E)
    dt_bias: Tensor | None  # (E,)
    order: Tensor | None  # (L,) or (rows, steps)
    softplus: bool
    zoh: bool
    log_A: bool = False  # A is given as log(-A), as weights hold it; so is its gradient

    def with_rates(self) -> Inputs:
        """The same with A itself, at least float32, for a backend that reads no logarithms."""
        return self._replace(A=rates(self.A), log_A=False) if self.log_A else self


def rates(A_log: Tensor) -> Tensor:
    """A = -exp(A_log), at least float32."""
    return -torch.exp(A_log.float() if A_log.dtype.itemsize < 4 else A_log)


def working_dtype(u: Tensor) -> torch.dtype:
    """State and arithmetic: float64 for float64, else float32."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32
