"""What every backend of the causal convolution receives, already checked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import order as orders

NDIM = {"x": 3, "weight": 2, "bias": 1}  # of one direction


class Inputs(NamedTuple):
    """B batch, L length, E channels, W width; the first three have gradients.

    With an order of K directions any of the three may have a dimension of K in front: its own for each direction.
    """

    x: Tensor  # (B, L, E)
    weight: Tensor  # (E, W); the last tap meets the present step
    bias: Tensor | None  # (E,)
    order: Tensor | None  # (L,), (rows, steps) or (K, rows, steps)
    silu: bool

    @property
    def rows(self) -> int:
        """Of one direction."""
        return orders.row_count(self.order)


def working_dtype(x: Tensor) -> torch.dtype:
    """Arithmetic: float64 for float64, else float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
