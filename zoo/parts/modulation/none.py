"""No modulation."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.parts.protocols import Condition, Modulated
from zoo.registry import register


@register("modulation", "none")
class NoModulation(nn.Module):
    """Blocks are conditioned by tokens alone."""

    source = ()

    def __init__(self, width: int, sublayers: int):
        super().__init__()

    def forward(self, cond: Condition) -> None:
        return None

    def block(self, n: int) -> nn.Module:
        return _Nothing(n)


class _Nothing(nn.Module):
    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, shared: Tensor | None) -> list[Modulated]:
        return [(None, None, None)] * self.n
