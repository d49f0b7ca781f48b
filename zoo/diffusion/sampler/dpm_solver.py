from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exponential import Exponential, Stages, even_stages, stages_at
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_finite, check_span, walk_times
from zoo.registry import Make, register


@register("sampler", "dpm_solver")
@dataclass(kw_only=True)
class DPMSolver:
    """DPM-Solver (predict: eps) and DPM-Solver++ (predict: x0), orders 1 to 3.

    fast: singlestep of mixed orders that spends exactly `steps` evaluations; singlestep: one order;
    multistep: earlier answers are used again (2M, 3M).
    The default is what DiM and U-ViT-H use. U-ViT's older file and DiM on CIFAR-10 are
    {predict: eps, grid: log_snr, stages: log_snr, end: 1.0e-4}.

    Sources: Lu et al. 2022a (2206.00927), Algorithms 1-2; 2022b (2211.01095), Algorithms 1-2.
    """

    steps: int = 50  # network evaluations
    order: Literal[1, 2, 3] = 3  # highest order
    method: Literal["fast", "singlestep", "multistep"] = "fast"  # how evaluations are spent
    predict: Literal["x0", "eps"] = "x0"  # x0: DPM-Solver++; eps: DPM-Solver
    solver_type: Literal["dpm_solver", "taylor"] = "dpm_solver"  # form of the higher-order terms
    grid: Make[TimeGrid] = "uniform"  # times between start and end
    stages: Literal["grid", "log_snr"] = "grid"  # inner stages on the grid's own times, or at equal parts of log-SNR
    start: float = 1.0  # first time
    end: float = 1e-3  # last time

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if log-SNR is infinite at an end, or there are too few steps for the order."""
        fewest = self.order if self.method == "singlestep" else 1
        check_span("dpm_solver", self, fewest)
        check_finite("dpm_solver", process, "log_snr", (self.start, self.end))
        walk_times("dpm_solver", self, process, self.steps)

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images at `end` from x at `start`; no noise is drawn."""
        self.check(denoiser.process, denoiser.guidance)
        formulas = Exponential(denoiser.process, self.predict == "x0", self.solver_type == "taylor")
        walk = self.multistep if self.method == "multistep" else self.singlestep
        for i, n, state in walk(formulas, denoiser, x):
            x = state
            if on_step:
                on_step(i, n, x)
        return x

    def singlestep(self, formulas: Exponential, denoiser: Denoiser, x: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Steps that forget what came before."""
        plan = self.plan(denoiser.process)
        for i, stages in enumerate(plan):
            x = formulas.singlestep(denoiser, x, stages)[-1]
            yield i, len(plan), x

    def multistep(self, formulas: Exponential, denoiser: Denoiser, x: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """Steps that use the last `order` answers; the first ones have fewer."""
        times, past = walk_times("dpm_solver", self, denoiser.process, self.steps), []
        for i in range(self.steps):
            past = [formulas.ask(denoiser, x, times[i]), *past][: self.order]
            x = formulas.multistep(x, past, times[i + 1])
            yield i, self.steps, x

    def plan(self, process: Gaussian) -> list[Stages]:
        """Every step with its inner stages."""
        orders = [self.order] * (self.steps // self.order)
        if self.method == "fast":
            orders = fast_orders(self.steps, self.order)
        if self.stages == "log_snr":
            times = walk_times("dpm_solver", self, process, len(orders))
            return [even_stages(process, s, t, o) for s, t, o in zip(times[:-1], times[1:], orders)]
        times, ends = walk_times("dpm_solver", self, process, sum(orders)), [0]
        for order in orders:
            ends.append(ends[-1] + order)
        return [stages_at(process, list(times[i : j + 1])) for i, j in pairwise(ends)]


def fast_orders(evaluations: int, order: int) -> list[int]:
    """Orders of steps that spend `evaluations` exactly; the last steps are the lower ones."""
    whole, rest = divmod(evaluations, order)
    if order == 3 and rest == 0:
        return [3] * (whole - 1) + [2, 1]
    return [order] * whole + [rest] * (rest > 0)
