"""One projection for all blocks, and a learned offset for each."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.ops.add_norm import RowSum
from zoo.parts.protocols import Condition, Modulated
from zoo.registry import register


@register("modulation", "adaln_single")
class AdaLNSingle(nn.Module):
    """Shift, scale and gate from one shared projection plus a learned table a block.

    cond -> shared (B, sublayers, 3, D); a block returns (shift, scale, gate), sums (B,1,D), for each sublayer.
    Source: PixArt-alpha (arXiv 2310.00426, 2.3); DiM as released, whose gate is 1 + g.
    """

    def __init__(
        self,
        width: int,
        sublayers: int,
        *,
        source: list[str] = ["time"],  # embeddings that are summed
        gate: Literal["plain", "one_plus"] = "plain",
    ):
        super().__init__()
        self.source, self.width, self.sublayers, self.gate = tuple(source), width, sublayers, gate
        self.proj = nn.Linear(width, 3 * sublayers * width)

    def forward(self, cond: Condition) -> Tensor:
        shared = self.proj(F.silu(cond.sum(self.source))).unflatten(-1, (self.sublayers, 3, self.width))
        if self.gate == "plain":
            return shared
        shift, scale, gate = shared.unbind(2)
        return torch.stack([shift, scale, 1 + gate], 2)  # once for all blocks

    def block(self, n: int) -> nn.Module:
        return _Offset(self.width, n)


class _Offset(nn.Module):
    def __init__(self, width: int, n: int):
        super().__init__()
        self.table = nn.Parameter(torch.empty(n, 3, width))

    def forward(self, shared: Tensor) -> list[Modulated]:
        rows = shared.flatten(1, 2).unsqueeze(2).unbind(1)  # (B,1,D) each; a shorter block takes the first ones
        table = self.table if torch.is_grad_enabled() else self.table.detach()  # else its views ask for gradients still
        sums = list(map(RowSum, rows, table.flatten(0, 1).unbind()))
        return [(sums[i], sums[i + 1], sums[i + 2]) for i in range(0, len(sums), 3)]

    def reset(self, depth: int) -> None:
        """Normal, with variance 1/D."""
        nn.init.normal_(self.table, std=self.table.shape[-1] ** -0.5)
