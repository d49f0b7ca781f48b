"""The two-layer feed-forward network."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.parts.protocols import Condition
from zoo.registry import register


@register("feedforward", "mlp")
class MLP(nn.Module):
    """Linear, activation, Linear on each token.

    n (B,L,D) -> (B,L,D). Source: U-ViT (exact GELU), DiT (tanh GELU).
    """

    source = ()

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        ratio: int = 4,  # hidden width, in model widths
        activation: Literal["gelu", "gelu_tanh", "silu"] = "gelu",
    ):
        super().__init__()
        at_least(1, ratio, "backbone.feedforward.ratio")
        self.activation = activation
        self.up = nn.Linear(width, ratio * width)
        self.down = nn.Linear(ratio * width, width)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        hidden = self.up(n)
        if self.activation == "silu":
            return self.down(F.silu(hidden))
        return self.down(F.gelu(hidden, approximate="tanh" if self.activation == "gelu_tanh" else "none"))
