from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_finite, check_span, draws, walk_times
from zoo.errors import ZooError
from zoo.registry import Make, register


@register("sampler", "heun", aliases=("edm",))
@dataclass(kw_only=True)
class Heun:
    """EDM's second-order sampler in s = sigma/alpha, with optional churn; any process with finite log-SNR.

    Walks z = x/alpha, whose ODE is dz/ds = (z - x0)/s, and ends on the data themselves. Asks the network
    2 steps - 1 times. Churn never lifts s above its first value.

    Source: Karras et al. 2022 (2206.00364), Algorithms 1 and 2.
    """

    steps: int = 18  # noise levels
    churn: float = 0.0  # S_churn; 0: deterministic
    churn_min: float = 0.0  # least s with churn
    churn_max: float | None = None  # largest s with churn; None: any
    churn_noise: float = 1.0  # S_noise
    start: float = 1.0  # first time
    end: float = 0.0  # last time at which the network is asked (edm: sigma_min); others 0.001
    grid: Make[TimeGrid] = "karras"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if log-SNR is infinite at an end, or there are too few steps."""
        check_span("heun", self, fewest=2)
        check_finite("heun", process, "log_snr", (self.start, self.end))
        walk_times("heun", self, process, self.steps - 1)
        if self.churn < 0:
            raise ZooError(f"churn {self.churn}", where="sampler heun", fix="give 0 or more")

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images from x at `start`; noise(i, x) is drawn for the steps with churn."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        noise = draws("heun", noise, needed=self.churn > 0)
        levels = (-process.log_snr(walk_times("heun", self, process, self.steps - 1))).exp()
        levels = torch.cat([levels, torch.zeros(1, dtype=levels.dtype)])
        z = x / process.alpha(self.start)
        for i, (s, then) in enumerate(pairwise(levels)):
            up = torch.minimum(s * (1 + self.growth(s.item())), levels[0])
            if up > s:
                z = z + (up**2 - s**2).sqrt() * self.churn_noise * noise(i, z)
            slope = self.slope(denoiser, z, up)
            ahead = z + (then - up) * slope
            z = ahead if then == 0 else z + (then - up) / 2 * (slope + self.slope(denoiser, ahead, then))
            if on_step:
                on_step(i, self.steps, z * process.alpha(process.time_of_log_snr(-then.log())) if then else z)
        return z

    def growth(self, s: float) -> float:
        """gamma: how much of s is added as fresh noise."""
        if not self.churn_min <= s <= (math.inf if self.churn_max is None else self.churn_max):
            return 0.0
        return min(self.churn / self.steps, math.sqrt(2) - 1)

    @staticmethod
    def slope(denoiser: Denoiser, z: Tensor, s: Tensor) -> Tensor:
        """dz/ds = (z - x0) / s."""
        t = denoiser.process.time_of_log_snr(-s.log())
        return (z - denoiser.x0(denoiser.process.alpha(t) * z, t)) / s
