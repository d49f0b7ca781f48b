"""Mamba in several directions at once."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from zoo.errors import ShapeError, at_least
from zoo.grid import Grid
from zoo.ops import causal_conv, selective_scan
from zoo.ops.selective_scan.inputs import rates
from zoo.parts.protocols import Condition
from zoo.parts.state_space import Decay, Direction, Step
from zoo.registry import register


@register("mixer", "bimamba")
class Bimamba(nn.Module):
    """Selective scans of one block in several directions, each gated, then added up: every token reaches every token.

    n (B,L,D), order None, (L,), (S,steps) or (K,S,steps) -> (B,L,D). Two directions are the order and its reverse;
    more come from a scan that gives them together. What directions share is computed once, along the first; what
    they do not is computed for all at once.
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
        at_least(1, expand, "backbone.mixer.expand")
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
        order = self._orders(order, n)
        first, steps = self.directions[0], [way for way in self.directions if isinstance(way, Step)]
        if len(self.directions) > 1 and isinstance(self.directions[-1], Direction):
            v = causal_conv(u, self._each("conv_weight"), self._each("conv_bias"), order=order)
        else:  # what directions lack stays the first's
            v = first.convolve(u, order[0] if order is not None and order.ndim == 3 else order)
        dt, B, C = Step.project_all(steps, v) if len(steps) > 1 else first.project(v)
        bias = torch.stack([step.dt_proj.bias for step in steps]) if len(steps) > 1 else first.dt_proj.bias
        y = selective_scan(v, dt, rates(self._each("A_log")), B, C, self._each("D"), z, bias, order=order,
                           discretization=self.discretization)  # fmt: skip
        return self.out_proj(y / len(self.directions) if self.merge == "mean" else y)

    def _each(self, name: str) -> Tensor:
        """A parameter of every direction, (directions, ...), or of the first if the others have none."""
        given = [getattr(way, name) for way in self.directions if hasattr(way, name)]
        return torch.stack(given) if len(given) > 1 else given[0]

    def _orders(self, order: Tensor | None, n: Tensor) -> Tensor | None:
        """The orders of all directions, (directions, rows, steps); of a single one as it is."""
        count, given = len(self.directions), len(order) if order is not None and order.ndim == 3 else 1
        if given == 1 and count == 2 and (order is None or order.ndim < 3):
            along = torch.arange(n.shape[1], dtype=torch.int32, device=n.device) if order is None else order
            along = along.view(-1, along.shape[-1])
            return torch.stack([along, along.flip(-1)])
        if given != count:
            raise ShapeError(f"a mixer of {count} directions was given {given} scan orders", where="backbone.scan",
                             fix=f"use {{use: together, of: SCAN}} with a scan of {count} orders")  # fmt: skip
        return order if count > 1 or order is None or order.ndim < 3 else order[0]

    def reset(self, depth: int) -> None:
        """The output scaled by depth^-1/2; each direction starts as in `mamba`, after this."""
        bound = (self.out_proj.in_features * depth) ** -0.5
        nn.init.uniform_(self.out_proj.weight, -bound, bound)
