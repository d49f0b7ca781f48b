"""Mamba in several directions at once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.errors import ShapeError, at_least
from zoo.grid import Grid
from zoo.ops import selective_scan
from zoo.parts.protocols import Condition
from zoo.parts.state_space import Decay, Direction, Step
from zoo.registry import register


@register("mixer", "bimamba")
class Bimamba(nn.Module):
    """Selective scans of one block in several directions, each gated, then added up: every token reaches every token.

    n (B,L,D), order None, (L,), (S,steps) or (K,S,steps) -> (B,L,D). Two directions are the order and its reverse;
    more come from a scan that gives them together. What directions share is computed once, along the first.
    Errors: ShapeError if the order has another number of directions.
    Source: Vision Mamba (arXiv 2401.09417, Algorithm 1; `own: all` is its v2, `decay` its v1), as in DiS
    (arXiv 2402.05608); VMamba (arXiv 2401.10166) for `step` with four directions.
    """

    source = ()

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        directions: int = 2,  # 2: the block's scan and its reverse; else as many as the scan gives `together`
        own: Literal["all", "step", "decay", "none"] = "all",  # weights of each: also convolution; also dt, B, C, D; A
        merge: Literal["sum", "mean"] = "sum",
        state: int = 16,
        conv: int = 4,  # width of the short convolution, 2 to 8
        expand: int = 2,  # inner width, in model widths
        dt_rank: int = 0,  # rank of the step's projection, 0 for width/16 rounded up
        discretization: Literal["euler", "zoh"] = "euler",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        zero_dt_bias: bool = False,  # of the later directions at the start, which then forget fast: DiS by mistake
    ):
        super().__init__()
        at_least(1, directions, "backbone.mixer.directions")
        inner, first, later = expand * width, (dt_min, dt_max), None if zero_dt_bias else (dt_min, dt_max)
        self.merge, self.discretization = merge, discretization
        make = {
            "all": lambda: Direction(inner, state, width, dt_rank, later, conv),
            "step": lambda: Step(inner, state, width, dt_rank, later),
            "decay": lambda: Decay(inner, state),
            "none": nn.Identity,
        }
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.directions = nn.ModuleList([Direction(inner, state, width, dt_rank, first, conv)])
        self.directions.extend(make[own]() for _ in range(directions - 1))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        u, z = self.in_proj(n).chunk(2, -1)
        results = []
        for way, along in zip(self.directions, self._orders(order, n)):  # what a direction lacks stays the first's
            if isinstance(way, Direction):
                v = way.convolve(u, along)
            if isinstance(way, Step):
                (dt, B, C), D, bias = way.project(v), way.D, way.dt_proj.bias
            if isinstance(way, Decay):
                A = way.A
            results.append(selective_scan(v, dt, A, B, C, D, z, bias, order=along, discretization=self.discretization))
        total = sum(results[1:], results[0])
        return self.out_proj(total / len(results) if self.merge == "mean" else total)

    def _orders(self, order: Tensor | None, n: Tensor) -> list[Tensor | None]:
        """One order a direction."""
        count = len(self.directions)
        if order is not None and order.ndim == 3:
            given: list[Tensor | None] = list(order)
        elif count == 2:
            forwards = torch.arange(n.shape[1], device=n.device) if order is None else order
            given = [order, forwards.flip(-1)]
        else:
            given = [order]
        if len(given) != count:
            raise ShapeError(f"a mixer of {count} directions was given {len(given)} scan orders", where="backbone.scan",
                             fix=f"use {{use: together, of: SCAN}} with a scan of {count} orders")
        return given

    def reset(self, depth: int) -> None:
        """The output scaled by depth^-1/2; each direction starts as in `mamba`, after this."""
        bound = (self.out_proj.in_features * depth) ** -0.5
        nn.init.uniform_(self.out_proj.weight, -bound, bound)
