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


def working_dtype(u: Tensor) -> torch.dtype:
    """State and arithmetic: float64 for float64, else float32."""
    return torch.float64 if u.dtype == torch.float64 else torch.float32
