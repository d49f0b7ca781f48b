from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.diffusion.protocols import Draw, Guidance, OnStep
from zoo.diffusion.runge_kutta import Paths
from zoo.diffusion.walk import check_finite, check_span
from zoo.errors import ZooError
from zoo.registry import register

WHERE = "sampler dopri5"
SHARES = 100  # on_step hears of so many parts of the way


class Solved(NamedTuple):
    """Images, and how often the network was asked about each, (B,)."""

    images: Tensor
    evaluations: Tensor


@register("sampler", "dopri5", aliases=("rk45",))
@dataclass(kw_only=True)
class Dopri5:
    """Probability-flow ODE in t by Dormand and Prince's adaptive method of order 5(4); the error decides the steps.

    Each image has its own steps: its error is its own, and the network is asked about the images that are still on
    their way, each at its own time, so that no image depends on its batch. With `end` above 0, or noise left at 0,
    the answer is the data that the network sees there.

    Sources: Dormand & Prince 1980; Hairer, Norsett & Wanner 1993, II.4 (steps); SiT (2401.08740) and ZigMa
    (2403.13802) sample so, at these tolerances.
    """

    rtol: float = 1e-3  # relative tolerance of a step
    atol: float = 1e-6  # absolute tolerance of a step
    start: float = 1.0  # first time
    end: float = 1e-3  # last time of the ODE; flows that predict the velocity can do with 0
    most: int = 2000  # evaluations of an image, after which it is given up

    steps = 1  # not a field: the error decides

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the tolerances are not positive, or the velocity is not finite at an end."""
        check_span("dopri5", self)
        check_finite("dopri5", process, "velocity_factors", (self.start, self.end))
        if not (self.atol > 0 and self.rtol >= 0):
            raise ZooError(f"atol {self.atol}, rtol {self.rtol}", where=WHERE, fix="need atol > 0 and rtol >= 0")
        if self.most < 8:
            raise ZooError(f"most {self.most}", where=WHERE, fix="give at least 8, what the first step may take")

    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images from x at `start`; no noise is drawn."""
        return self.solve(denoiser, x, on_step).images

    @torch.no_grad()
    def solve(self, denoiser: Denoiser, x: Tensor, on_step: OnStep | None = None) -> Solved:
        """The images and what each has cost. Raises: ZooError if one takes more than `most` evaluations."""
        self.check(denoiser.process, denoiser.guidance)

        def velocity(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            return denoiser.rows(rows).velocity(x, t)

        paths = Paths(velocity, x, self.start, self.end, self.rtol, self.atol)
        while len(rows := paths.unfinished()):
            if (paths.evaluations[rows] >= self.most).any():
                late = paths.t[rows].max().item()
                raise ZooError(
                    f"{self.most} evaluations have come to t = {late:.3g} only",
                    where=WHERE,
                    fix="raise rtol and end, or most",
                )
            paths.step(rows)
            if on_step:
                on_step(int(paths.share() * (SHARES - 1)), SHARES, paths.x)
        return self.finish(denoiser, paths)

    def finish(self, denoiser: Denoiser, paths: Paths) -> Solved:
        """From `end` to the data."""
        if self.end == 0 and denoiser.process.sigma(0.0) == 0:
            return Solved(paths.x, paths.evaluations)
        return Solved(denoiser.x0(paths.x, as_time(self.end)), paths.evaluations + 1)
