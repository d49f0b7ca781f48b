from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.exponential import Exponential, even_stages
from zoo.diffusion.gaussian import Gaussian, as_time, clock
from zoo.diffusion.protocols import Draw, Guidance, OnStep
from zoo.diffusion.walk import check_finite, check_span
from zoo.errors import ZooError
from zoo.registry import register

NEAR = 1e-5  # a time this near to the end is the end
SAFETY = 0.9
GROWTH = 3.0  # a step is at most so many times the last one; an error that is small by chance says nothing of the next


@register("sampler", "dpm_solver_adaptive")
@dataclass(kw_only=True)
class DPMSolverAdaptive:
    """DPM-Solver-12 and -23: step sizes in log-SNR from the difference of two orders.

    Each image has its own steps, one image at a time, so that it does not depend on its batch, and steps grow
    threefold at most; `together` takes the published rule, the worst image of the batch and any growth, and the
    published arithmetic, times in the type of the images: the first errors of order 3 are below float32's
    resolution, so that rounding alone decides its steps.

    Source: Lu et al. 2022 (2206.00927), appendix C.
    """

    order: Literal[2, 3] = 3  # 2: DPM-Solver-12; 3: DPM-Solver-23
    predict: Literal["x0", "eps"] = "eps"  # x0: DPM-Solver++; eps: DPM-Solver
    solver_type: Literal["dpm_solver", "taylor"] = "dpm_solver"  # form of the higher-order terms
    atol: float = 0.0078  # absolute tolerance (2/256)
    rtol: float = 0.05  # relative tolerance
    first_step: float = 0.05  # first step in log-SNR
    together: bool = False  # one step size for the whole batch, of any growth, times as rounded: as published
    start: float = 1.0  # first time
    end: float = 1e-3  # last time

    steps = 1  # not a field: the error decides

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if log-SNR is infinite at an end, or the tolerances are not positive."""
        check_span("dpm_solver_adaptive", self)
        check_finite("dpm_solver_adaptive", process, "log_snr", (self.start, self.end))
        if not (self.atol > 0 and self.rtol >= 0 and self.first_step > 0):
            raise ZooError(
                f"atol {self.atol}, rtol {self.rtol}, first_step {self.first_step}",
                where="sampler dpm_solver_adaptive",
                fix="make them positive",
            )

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images at `end` from x at `start`; on_step(i, n, x) hears of each finished group of images."""
        self.check(denoiser.process, denoiser.guidance)
        size = len(x) if self.together else 1
        done = []
        for i in range(0, len(x), size):
            with clock(torch.promote_types(x.dtype, torch.float32) if self.together else torch.float64):
                done.append(self.solve(denoiser.rows(slice(i, i + size)), x[i : i + size]))
            if on_step:
                on_step(i // size, -(-len(x) // size), torch.cat([*done, x[i + size :]]))
        return torch.cat(done)

    def solve(self, denoiser: Denoiser, x: Tensor) -> Tensor:
        """All the steps of one group of images."""
        process = denoiser.process
        formulas = Exponential(process, self.predict == "x0", self.solver_type == "taylor")
        s, h, before = as_time(self.start), as_time(self.first_step), x
        last = process.log_snr(self.end)
        while abs(s.item() - self.end) > NEAR:
            t = process.time_of_log_snr(process.log_snr(s) + h)
            *_, lower, higher = formulas.singlestep(denoiser, x, even_stages(process, s, t, self.order))
            error = self.error(lower, higher, before)
            if error <= 1:
                x, s, before = higher, t, lower
            h = torch.minimum(self.next_step(h, error), last - process.log_snr(s))
        return x

    def next_step(self, h: Tensor, error: float) -> Tensor:
        """The step after h. The published rule rounds the power to float32, which shows in the times."""
        power = max(error, 1e-12) ** (-1 / self.order)
        if self.together:
            return SAFETY * h * torch.tensor(power, dtype=torch.float32)
        return h * min(SAFETY * power, GROWTH)

    def error(self, lower: Tensor, higher: Tensor, before: Tensor) -> float:
        """Root mean square of the difference over its tolerance, of the worst image."""
        tolerance = self.rtol * torch.maximum(lower.abs(), before.abs())
        scaled = (higher - lower) / tolerance.clamp(min=self.atol)
        error = scaled.square().flatten(1).mean(1).sqrt().max().item()
        if not error < float("inf"):
            raise ZooError("the network gives values that are not finite", where="sampler dpm_solver_adaptive")
        return error
