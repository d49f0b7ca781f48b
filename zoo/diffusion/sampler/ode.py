from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_clean_end, check_finite, check_span, times_to_data
from zoo.registry import Make, register


@register("sampler", "ode")
@dataclass(kw_only=True)
class ODE:
    """Probability-flow ODE in t by a Runge-Kutta method: the sampler of flows when Euler is too coarse.

    With `end` above 0 the last step, from there to 0, is Euler's, so that the network is never asked at 0.
    """

    steps: int = 25  # steps; midpoint and heun ask the network twice a step, rk4 four times
    method: Literal["midpoint", "heun", "rk4"] = "heun"  # second order, second order, fourth order
    start: float = 1.0  # first time
    end: float = 1e-3  # last time before 0; 0: the grid itself ends at 0
    grid: Make[TimeGrid] = "uniform"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the times are wrong, or the velocity is not finite where the network is asked."""
        check_span("ode", self)
        check_clean_end("ode", process)
        ends = (self.start,) if self.end == 0 and self.method == "midpoint" else (self.start, self.end)
        check_finite("ode", process, "velocity_factors", ends)
        times_to_data("ode", self, process)

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images from x at `start`; no noise is drawn."""
        self.check(denoiser.process, denoiser.guidance)
        times = times_to_data("ode", self, denoiser.process)
        step = {"midpoint": midpoint, "heun": heun, "rk4": rk4}[self.method]
        for i, (t, s) in enumerate(pairwise(times)):
            last = s == 0 and self.end > 0
            x = (euler if last else step)(denoiser, x, t, s - t)
            if on_step:
                on_step(i, self.steps, x)
        return x


def euler(denoiser: Denoiser, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """First order."""
    return x + h * denoiser.velocity(x, t)


def midpoint(denoiser: Denoiser, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """Second order, one look at the middle."""
    return x + h * denoiser.velocity(euler(denoiser, x, t, h / 2), t + h / 2)


def heun(denoiser: Denoiser, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """Second order, the mean of both ends."""
    first = denoiser.velocity(x, t)
    return x + h / 2 * (first + denoiser.velocity(x + h * first, t + h))


def rk4(denoiser: Denoiser, x: Tensor, t: Tensor, h: Tensor) -> Tensor:
    """The classical fourth order."""
    a = denoiser.velocity(x, t)
    b = denoiser.velocity(x + h / 2 * a, t + h / 2)
    c = denoiser.velocity(x + h / 2 * b, t + h / 2)
    d = denoiser.velocity(x + h * c, t + h)
    return x + h / 6 * (a + 2 * b + 2 * c + d)
