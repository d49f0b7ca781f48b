"""The residual block that carries the normalised stream along."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.ops.add_norm import modulated
from zoo.parts.protocols import Condition, Norm, Stream
from zoo.registry import Make, register


@register("block", "carry_norm")
class CarryNorm(nn.Module):
    """x + n + gate * mixer(n * (1 + scale) + shift) with n = norm(x): every block also adds the norm itself.

    The stream therefore grows with depth. Further sublayers add to n + gate * mixer(...), which they read
    through `inner_norm`. Source: ZigMa (arXiv 2403.13802) as released; `prenorm` is what its paper draws.
    """

    def __init__(
        self,
        width: int,
        sublayers: dict[str, nn.Module],
        norm: Make[Norm],
        modulation: nn.Module,
        skip: nn.Module | None,
        *,
        inner_norm: Make[Norm] = "layer",  # of the sublayers behind the first
    ):
        super().__init__()
        self.first, *self.others = sublayers
        self.skip = skip
        self.modulation = modulation
        for name, sublayer in sublayers.items():
            setattr(self, f"norm_{name}", (norm if name == self.first else inner_norm)(width))
            setattr(self, name, sublayer)

    def forward(self, h: Stream, kept: Tensor | None, shared: Tensor | None, order: Tensor | None, grid: Grid,
                cond: Condition) -> Stream:  # fmt: skip
        if self.skip is not None:
            h = self.skip(h, kept)
        (shift, scale, gate), *rows = self.modulation(shared)
        x, n = getattr(self, f"norm_{self.first}")(h)
        added = Stream(n, getattr(self, self.first)(modulated(n, shift, scale), order, grid, cond), gate)
        for name, (shift, scale, gate) in zip(self.others, rows):
            value, m = getattr(self, f"norm_{name}")(added, shift, scale)
            added = Stream(value, getattr(self, name)(m, order, grid, cond), gate)
        return Stream(x + added.x, added.y, added.gate)
