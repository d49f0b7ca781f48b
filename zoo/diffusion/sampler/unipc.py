from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exponential import Exponential, Known
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_finite, check_span, walk_times
from zoo.registry import Make, register


@register("sampler", "unipc")
@dataclass(kw_only=True)
class UniPC:
    """UniPC: a multistep predictor whose next answer also corrects the step, at no further evaluation.

    Source: Zhao et al. 2023 (2302.04867), Theorem 3.1 and Algorithms 1-2, multistep, B2(h) = e^h - 1 where
    a single difference leaves the weight free.
    """

    steps: int = 20  # network evaluations
    order: Literal[1, 2, 3] = 2  # of the predictor; the corrector has one more
    predict: Literal["x0", "eps"] = "x0"  # what is interpolated
    correct: bool = True  # False: the predictor alone (order 2 is then DPM-Solver++ 2M)
    grid: Make[TimeGrid] = "log_snr"  # times between start and end
    start: float = 1.0  # first time
    end: float = 1e-3  # last time

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if log-SNR is infinite at an end, or the span is wrong."""
        check_span("unipc", self)
        check_finite("unipc", process, "log_snr", (self.start, self.end))
        walk_times("unipc", self, process, self.steps)

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images at `end` from x at `start`; no noise is drawn."""
        self.check(denoiser.process, denoiser.guidance)
        formulas = Exponential(denoiser.process, self.predict == "x0")
        times = walk_times("unipc", self, denoiser.process, self.steps)
        past = [formulas.ask(denoiser, x, times[0])]
        for i, t in enumerate(times[1:]):
            ahead = combine(formulas, x, past[0], past[1:], t)
            if i < self.steps - 1:
                new = formulas.ask(denoiser, ahead, t)
                ahead = combine(formulas, x, past[0], [*past[1:], new], t) if self.correct else ahead
                past = [new, *past][: self.order]
            x = ahead
            if on_step:
                on_step(i, self.steps, x)
        return x


def combine(formulas: Exponential, x: Tensor, now: Known, others: list[Known], t: Tensor) -> Tensor:
    """x at t from the answer at now.t and its differences to other answers, before or after.

    The weights integrate the interpolating polynomial exactly: sum_m w_m r_m^(k-1) = k! phi_(k+1)(z).
    """
    step, h = formulas.span(now.t, t), formulas.gap(now.t, t)
    x = formulas.first(x, now, t)
    if not others:
        return x
    places = torch.stack([formulas.gap(now.t, other.t) / h for other in others])
    if len(others) == 1:
        weights = step.phi1.reshape(1) / 2
    else:
        rows = torch.stack([places**k for k in range(len(others))])
        wanted = torch.stack([math.factorial(k + 1) * phi(step.z, k + 2) for k in range(len(others))])
        weights = torch.linalg.solve(rows, wanted)
    for weight, place, other in zip(weights, places, others):
        x = x - step.c * weight / place * (other.m - now.m)
    return x


def phi(z: Tensor, k: int) -> Tensor:
    """phi_1 = e^z - 1, phi_(k+1) = phi_k / z - 1/k!."""
    value = torch.expm1(z)
    for j in range(1, k):
        value = value / z - 1 / math.factorial(j)
    return value
