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


@register("sampler", "euler")
@dataclass(kw_only=True)
class Euler:
    """Probability-flow ODE, x + (s - t) dx/dt, first order in t.

    With `end` above 0 the network is asked at `steps` times down to `end`, and one last step goes to 0.

    Sources: Song et al. 2021 (2011.13456), Eq. 13; Liu et al. 2022 (2209.03003) for flows.
    """

    steps: int = 50  # network evaluations
    start: float = 1.0  # first time
    end: float = 1e-3  # last time at which the network is asked; 0: the grid itself ends at 0
    grid: Make[TimeGrid] = "uniform"  # times between start and end

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the times are wrong, or the velocity is not finite where the network is asked."""
        check_span("euler", self)
        check_clean_end("euler", process)
        check_finite("euler", process, "velocity_factors", [t for t in (self.start, self.end) if t])
        times_to_data("euler", self, process)

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images from x at `start`; no noise is drawn."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        times = times_to_data("euler", self, process)
        for i, (t, s) in enumerate(pairwise(times)):
            x = x + (s - t) * denoiser.velocity(x, t)
            if on_step:
                on_step(i, self.steps, x)
        return x
