"""The pre-norm residual block."""

from __future__ import annotations

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.parts.protocols import Condition, Norm, Stream
from zoo.registry import Make, register


@register("block", "prenorm")
class PreNorm(nn.Module):
    """x + gate * sublayer(norm(x) * (1 + scale) + shift) for each sublayer, after the long skip.

    The last branch leaves the block unadded, so that the next norm can add it in the same pass.
    """

    def __init__(
        self,
        width: int,
        sublayers: dict[str, nn.Module],
        norm: Make[Norm],
        modulation: nn.Module,
        skip: nn.Module | None,
    ):
        super().__init__()
        self.names = tuple(sublayers)
        self.skip = skip
        self.modulation = modulation
        for name, sublayer in sublayers.items():
            setattr(self, f"norm_{name}", norm(width))
            setattr(self, name, sublayer)

    def forward(self, h: Stream, kept: Tensor | None, shared: Tensor | None, order: Tensor | None, grid: Grid,
                cond: Condition) -> Stream:  # fmt: skip
        if self.skip is not None:
            h = self.skip(h, kept)
        entry = None
        for name, (shift, scale, gate) in zip(self.names, self.modulation(shared)):
            x, n = getattr(self, f"norm_{name}")(h, shift, scale)
            entry = x if entry is None else entry
            h = Stream(x, getattr(self, name)(n, order, grid, cond), gate)
        return Stream(h.x, h.y, h.gate, entry if self.skip is None else None)
