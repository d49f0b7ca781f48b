"""A zero-initialised projection in every block."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.parts.protocols import Condition, Modulated
from zoo.registry import register


@register("modulation", "adaln_zero")
class AdaLNZero(nn.Module):
    """Shift, scale and gate by a linear map of each block's own, zero at the start.

    cond -> shared (B,D); a block returns (shift, scale, gate), each (B,1,D), for each sublayer.
    Source: DiT (arXiv 2212.09748, 3.2, "adaLN-Zero").
    """

    def __init__(self, width: int, sublayers: int, *, source: list[str] = ["time"]):  # embeddings that are summed
        super().__init__()
        self.source, self.width = tuple(source), width

    def forward(self, cond: Condition) -> Tensor:
        return F.silu(cond.sum(self.source))

    def block(self, n: int) -> nn.Module:
        return _Projection(self.width, n)


class _Projection(nn.Module):
    def __init__(self, width: int, n: int):
        super().__init__()
        self.shape = (n, 3, 1, width)
        self.proj = nn.Linear(width, 3 * n * width)

    def forward(self, shared: Tensor) -> list[Modulated]:
        rows = self.proj(shared).unflatten(-1, self.shape)
        return [(r[:, 0], r[:, 1], r[:, 2]) for r in rows.unbind(1)]

    def reset(self, depth: int) -> None:
        """Zero: every block starts as the identity."""
        nn.init.zeros_(self.proj.weight)
        nn.init.zeros_(self.proj.bias)
