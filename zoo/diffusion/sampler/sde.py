from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_clean_end, check_finite, check_span, times_to_data
from zoo.errors import ZooError
from zoo.registry import Make, register


@register("sampler", "sde", aliases=("flow_sde",))
@dataclass(kw_only=True)
class SDE:
    """Reverse SDE whose noise one may choose, dx = (dx/dt - w/2 score) dt + sqrt(w) dW with w = amount sigma(t).

    Every w has the same distributions at every t; unlike the process's own, this one is finite for flows at
    t = 1, where they start. Steps are Euler-Maruyama's; the last, from `end` to 0, takes the mean.

    Sources: SiT (2401.08740), its family of reverse SDEs; ZigMa (2403.13802): w = sigma, 250 steps, end 0.04.
    """

    steps: int = 250  # network evaluations
    start: float = 1.0  # first time
    end: float = 0.04  # last time at which the network is asked
    amount: float = 1.0  # of noise: w / sigma(t); 0 is the ODE
    grid: Make[TimeGrid] = "uniform"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the times are wrong, or the velocity is not finite where the network is asked."""
        check_span("sde", self)
        if self.amount < 0:
            raise ZooError(f"amount {self.amount}", where="sampler sde", fix="give 0 or more")
        check_clean_end("sde", process)
        check_finite("sde", process, "velocity_factors", [t for t in (self.start, self.end) if t])
        times_to_data("sde", self, process)

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Draw, on_step: OnStep | None = None) -> Tensor:
        """Images from x at `start`; noise(i, x) is drawn for every step but the last."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        times = times_to_data("sde", self, process)
        for i, (t, s) in enumerate(pairwise(times)):
            prediction, _ = denoiser.split(x, t)
            towards = process.eps(prediction, x, t) * (self.amount / 2)  # -w/2 score = amount/2 eps
            mean = x + (s - t) * (process.velocity(prediction, x, t) + towards)
            last = i == self.steps - 1
            x = mean if last else mean + (self.amount * process.sigma(t) * (t - s)).sqrt() * noise(i, x)
            if on_step:
                on_step(i, self.steps, x)
        return x
