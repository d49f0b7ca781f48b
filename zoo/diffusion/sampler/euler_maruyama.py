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
from zoo.registry import Make, register


@register("sampler", "euler_maruyama")
@dataclass(kw_only=True)
class EulerMaruyama:
    """Reverse SDE in small steps, each with fresh noise; the last step, to t = 0, without.

    Sources: Song et al. 2021 (2011.13456), Eq. 6; U-ViT and DiM on CIFAR-10 (1000 steps).
    """

    steps: int = 1000  # network evaluations
    start: float = 1.0  # first time
    end: float = 1e-3  # last time at which the network is asked
    grid: Make[TimeGrid] = "uniform"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the times are wrong, or the SDE is not finite where the network is asked."""
        check_span("euler_maruyama", self)
        check_clean_end("euler_maruyama", process)
        for method in ("drift", "squared_diffusion"):
            check_finite("euler_maruyama", process, method, [t for t in (self.start, self.end) if t])
        times_to_data("euler_maruyama", self, process)

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Draw, on_step: OnStep | None = None) -> Tensor:
        """Images from x at `start`; noise(i, x) is drawn for step i, on_step(i, n, x) hears of it."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        times = times_to_data("euler_maruyama", self, process)
        for i, (t, s) in enumerate(pairwise(times)):
            diffusion = process.squared_diffusion(t)
            score_factor = diffusion / process.sigma(t)  # -g^2 score = g^2 eps / sigma
            x = x + (s - t) * (process.drift(t) * x + score_factor * denoiser.eps(x, t))
            if i < self.steps - 1:
                x = x + (diffusion * (t - s)).sqrt() * noise(i, x)
            if on_step:
                on_step(i, self.steps, x)
        return x
