from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.walk import check_span, to_data
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
    grid: Make["time_grid"] = "uniform"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance=None) -> None:
        """Raises: ZooError if the process has no finite drift at the start, or the span is wrong."""
        check_span("euler_maruyama", self, process, finite=("drift", "squared_diffusion"))

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Callable[[int, Tensor], Tensor], on_step=None) -> Tensor:
        """Images from x at `start`; noise(i, x) is drawn for step i, on_step(i, n, x) hears of it."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        times = to_data(self.grid, process, self)
        for i, (t, s) in enumerate(zip(times[:-1], times[1:])):
            diffusion = process.squared_diffusion(t)
            score_factor = diffusion / process.sigma(t)  # -g^2 score = g^2 eps / sigma
            x = x + (s - t) * (process.drift(t) * x + score_factor * denoiser.eps(x, t))
            if i < self.steps - 1:
                x = x + (diffusion * (t - s)).sqrt() * noise(i, x)
            if on_step:
                on_step(i, self.steps, x)
        return x
