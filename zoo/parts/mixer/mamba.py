"""The Mamba mixer: gate, short causal convolution, selective scan."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from zoo.grid import Grid
from zoo.ops import mamba
from zoo.parts.protocols import Condition
from zoo.parts.state_space import Direction, one_way
from zoo.registry import register


@register("mixer", "mamba")
class Mamba(Direction):
    """A selective state-space mixer, linear in the number of tokens, causal along the scan order.

    n (B,L,D), order None, (L,) or (S,steps) -> (B,L,D) at the tokens' own places.
    Source: Mamba (arXiv 2312.00752, Algorithm 2 and Figure 3); `euler` is the released step for B,
    `zoh` that of DiM (arXiv 2405.14224, Eq. 2).
    """

    source = ()

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        state: int = 16,
        conv: int = 4,  # width of the short convolution, 2 to 8
        expand: int = 2,  # inner width, in model widths
        dt_rank: int = 0,  # rank of the step's projection, 0 for width/16 rounded up
        discretization: Literal["euler", "zoh"] = "euler",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
    ):
        inner = expand * width
        super().__init__(inner, state, width, dt_rank, (dt_min, dt_max), conv)
        self.discretization = discretization
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        one_way(order)
        return mamba(n, self.in_proj.weight, self.conv_weight, self.conv_bias, self.x_proj.weight, self.dt_proj.weight,
                     self.dt_proj.bias, self.A_log, self.D, self.out_proj.weight, order, self.discretization == "zoh")

    def hidden_macs(self, macs: int) -> int:
        """Of these multiply-adds, those that a counter misses which cannot look into fused kernels: all but `in_proj`.

        DiM's Table 1 was counted so.
        """
        weights = (self.in_proj.weight, self.x_proj.weight, self.dt_proj.weight, self.out_proj.weight, self.conv_weight)
        each = sum(w.numel() for w in weights) + 3 * self.A_log.numel() + 2 * self.D.numel()  # of a token
        return macs - macs // each * self.in_proj.weight.numel()

    def reset(self, depth: int) -> None:
        """Mamba's own start: A = -(1..N), steps log-uniform in the range, output scaled by depth^-1/2."""
        super().reset(depth)
        bound = (len(self.D) * depth) ** -0.5
        nn.init.uniform_(self.out_proj.weight, -bound, bound)
