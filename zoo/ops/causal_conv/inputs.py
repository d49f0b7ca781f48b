"""What every backend of the causal convolution receives, already checked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Inputs(NamedTuple):
    """B batch, L length, E channels, W width; the first three have gradients."""

    x: Tensor  # (B, L, E)
    weight: Tensor  # (E, W); the last tap meets the present step
    bias: Tensor | None  # (E,)
    order: Tensor | None  # (L,) or (rows, steps)
    silu: bool


def working_dtype(x: Tensor) -> torch.dtype:
    """Arithmetic: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
