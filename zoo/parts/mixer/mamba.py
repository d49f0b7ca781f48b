"""The Mamba mixer: gate, short causal convolution, selective scan."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.grid import Grid
from zoo.ops import causal_conv, selective_scan
from zoo.parts.protocols import Condition
from zoo.registry import register


@register("mixer", "mamba")
class Mamba(nn.Module):
    """A selective state-space mixer, linear in the number of tokens, causal along the scan order.

    n (B,L,D), order None, (L,) or (S,steps) -> (B,L,D) at the tokens' own places.
    Source: Mamba (arXiv 2312.00752, Algorithm 2 and Figure 3); `euler` is the released step for B,
    `zoh` that of DiM (arXiv 2405.14224, Eq. 2).
    """

    source = ()
    visible_to_counters = ("in_proj",)
    """All that a counter sees which cannot look into fused kernels; DiM's Table 1 was counted so."""

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
        super().__init__()
        inner, rank = expand * width, dt_rank or math.ceil(width / 16)
        self.sizes, self.discretization, self.dt_range = (rank, state, state), discretization, (dt_min, dt_max)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(inner, conv))
        self.conv_bias = nn.Parameter(torch.empty(inner))
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.A_log = nn.Parameter(torch.empty(inner, state))
        self.D = nn.Parameter(torch.empty(inner))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        u, z = self.in_proj(n).chunk(2, -1)
        u = causal_conv(u, self.conv_weight, self.conv_bias, order=order)
        dt, B, C = self.x_proj(u).split(self.sizes, -1)
        dt = F.linear(dt, self.dt_proj.weight)  # its bias is added inside the scan, in float32
        A = -torch.exp(self.A_log.float() if self.A_log.dtype.itemsize < 4 else self.A_log)
        y = selective_scan(u, dt, A, B, C, self.D, z, self.dt_proj.bias, order=order,
                           discretization=self.discretization)
        return self.out_proj(y)

    def reset(self, depth: int) -> None:
        """Mamba's own start: A = -(1..N), steps log-uniform in the range, output scaled by depth^-1/2."""
        inner, (rank, state, _) = len(self.D), self.sizes
        bound = self.conv_weight.shape[1] ** -0.5
        nn.init.uniform_(self.conv_weight, -bound, bound)
        nn.init.uniform_(self.conv_bias, -bound, bound)
        nn.init.uniform_(self.dt_proj.weight, -(rank**-0.5), rank**-0.5)
        low, high = map(math.log, self.dt_range)
        with torch.no_grad():
            step = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp().clamp_(min=1e-4)
            self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus
            self.A_log.copy_(torch.arange(1, state + 1, dtype=torch.float32).log().expand(inner, -1))
            self.D.fill_(1.0)
            bound = (inner * depth) ** -0.5
            self.out_proj.weight.uniform_(-bound, bound)
