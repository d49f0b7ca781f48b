from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exponential import Exponential
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Draw, Guidance, OnStep, TimeGrid
from zoo.diffusion.walk import check_finite, check_span, walk_times
from zoo.registry import Make, register


@register("sampler", "sde_dpm_solver_pp_2m")
@dataclass(kw_only=True)
class SDEDPMSolverPP2M:
    """SDE-DPM-Solver++(2M): second order in x0, with fresh noise in every step but the last.

    The last step is the deterministic DPM-Solver++ (2M), so that no noise of its own is left at `end`.

    Source: Lu et al. 2022 (2211.01095), SDE-DPM-Solver++(2M).
    """

    steps: int = 25  # network evaluations
    grid: Make[TimeGrid] = "log_snr"  # times between start and end
    start: float = 1.0  # first time
    end: float = 1e-3  # last time

    def __post_init__(self):
        self.grid = nested("time_grid", self.grid)

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if log-SNR is infinite at an end, or the span is wrong."""
        check_span("sde_dpm_solver_pp_2m", self)
        check_finite("sde_dpm_solver_pp_2m", process, "log_snr", (self.start, self.end))
        walk_times("sde_dpm_solver_pp_2m", self, process, self.steps)

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Draw, on_step: OnStep | None = None) -> Tensor:
        """Images at `end` from x at `start`; noise(i, x) is drawn for every step but the last."""
        process = denoiser.process
        self.check(process, denoiser.guidance)
        formulas, past = Exponential(process, data=True), []
        times = walk_times("sde_dpm_solver_pp_2m", self, process, self.steps)
        for i, t in enumerate(times[1:]):
            past = [formulas.ask(denoiser, x, times[i]), *past][:2]
            if i == self.steps - 1:
                x = formulas.multistep(x, past, t)
            else:
                x = self.step(formulas, x, past, t, noise(i, x))
            if on_step:
                on_step(i, self.steps, x)
        return x

    @staticmethod
    def step(formulas: Exponential, x: Tensor, past: list, t: Tensor, z: Tensor) -> Tensor:
        """One noisy step: the deterministic one with h doubled in its decay, and the variance that this removes."""
        now, h = past[0], formulas.gap(past[0].t, t)
        x0 = now.m
        if len(past) > 1:
            x0 = x0 + (now.m - past[1].m) * h / (2 * formulas.gap(past[1].t, now.t))
        renewed = -torch.expm1(-2 * h)
        before, after = formulas.level(now.t), formulas.level(t)
        kept = after.sigma / before.sigma * (-h).exp()
        return kept * x + after.alpha * renewed * x0 + after.sigma * renewed.sqrt() * z
