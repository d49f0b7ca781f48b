"""The weights of a selective state space, in three layers, so that directions can share all but the inner ones.

Source: Mamba (arXiv 2312.00752, Algorithm 2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import RecipeError, ShapeError, at_least
from zoo.ops import causal_conv


def one_way(order: Tensor | None) -> None:
    """Raises: ShapeError for an order of several directions."""
    if order is not None and order.ndim == 3:
        raise ShapeError(f"the scan gives {len(order)} orders together to a mixer of one direction",
                         where="backbone.scan", fix=f"mixer: {{use: bimamba, directions: {len(order)}}}")


class Decay(nn.Module):
    """How fast each state forgets: A_log (inner, state)."""

    def __init__(self, inner: int, state: int):
        super().__init__()
        at_least(1, inner, "backbone.mixer.expand")
        at_least(1, state, "backbone.mixer.state")
        self.A_log = nn.Parameter(torch.empty(inner, state))

    def reset(self, depth: int) -> None:
        """A = -(1..N)."""
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1, self.A_log.shape[1] + 1, dtype=torch.float32).log().expand_as(self.A_log))


class Step(Decay):
    """A decay, and the maps from a token to its step, input and read-out weights.

    `dt_rank` 0 is width/16 rounded up; `dt_range` bounds the steps at the start, None for a bias of 0.
    """

    def __init__(self, inner: int, state: int, width: int, dt_rank: int, dt_range: tuple[float, float] | None):
        super().__init__(inner, state)
        at_least(0, dt_rank, "backbone.mixer.dt_rank")
        if dt_range and not 0 < dt_range[0] <= dt_range[1]:
            raise RecipeError(f"steps from {dt_range[0]} to {dt_range[1]}", where="backbone.mixer.dt_min and dt_max",
                              allowed="0 < dt_min <= dt_max")
        rank = dt_rank or math.ceil(width / 16)
        self.sizes, self.dt_range = (rank, state, state), dt_range
        self.x_proj = nn.Linear(inner, rank + 2 * state, bias=False)
        self.dt_proj = nn.Linear(rank, inner)
        self.D = nn.Parameter(torch.empty(inner))

    def project(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """u (B,L,inner) -> dt (B,L,inner), B and C (B,L,state); the scan adds dt_proj's bias, in float32."""
        dt, B, C = self.x_proj(u).split(self.sizes, -1)
        return F.linear(dt, self.dt_proj.weight), B, C

    @staticmethod
    def project_all(steps: Sequence[Step], u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The same for K steps at once, u their own (K,B,L,inner) or shared (B,L,inner); results (K,B,L,...)."""
        x_proj, dt_proj = (torch.stack([getattr(s, w).weight for s in steps]) for w in ("x_proj", "dt_proj"))
        if u.ndim == 3:
            x = F.linear(u, x_proj.flatten(0, 1)).unflatten(-1, x_proj.shape[:2]).movedim(-2, 0)
        else:
            x = torch.bmm(u.flatten(1, 2), x_proj.mT).unflatten(1, u.shape[1:3])
        dt, B, C = x.split(steps[0].sizes, -1)
        return torch.bmm(dt.flatten(1, 2), dt_proj.mT).unflatten(1, x.shape[1:3]), B, C

    def reset(self, depth: int) -> None:
        """Steps log-uniform in the range, and D = 1."""
        super().reset(depth)
        bound = self.sizes[0] ** -0.5
        nn.init.uniform_(self.dt_proj.weight, -bound, bound)
        nn.init.ones_(self.D)
        if self.dt_range is None:
            nn.init.zeros_(self.dt_proj.bias)
            return
        low, high = map(math.log, self.dt_range)
        with torch.no_grad():
            step = torch.empty_like(self.dt_proj.bias).uniform_(low, high).exp().clamp_(min=1e-4)
            self.dt_proj.bias.copy_(step + torch.log(-torch.expm1(-step)))  # inverse of softplus


class Direction(Step):
    """A step, and the short causal convolution in front of it: all that one direction needs."""

    def __init__(self, inner: int, state: int, width: int, dt_rank: int, dt_range: tuple[float, float] | None,
                 conv: int):  # fmt: skip
        super().__init__(inner, state, width, dt_rank, dt_range)
        at_least(1, conv, "backbone.mixer.conv")
        self.conv_weight = nn.Parameter(torch.empty(inner, conv))
        self.conv_bias = nn.Parameter(torch.empty(inner))

    def convolve(self, u: Tensor, order: Tensor | None) -> Tensor:
        """u (B,L,inner) along the order, then silu."""
        return causal_conv(u, self.conv_weight, self.conv_bias, order=order)

    def reset(self, depth: int) -> None:
        """The convolution as PyTorch makes it, then the step."""
        bound = self.conv_weight.shape[1] ** -0.5
        nn.init.uniform_(self.conv_weight, -bound, bound)
        nn.init.uniform_(self.conv_bias, -bound, bound)
        super().reset(depth)
