"""Exponential-integrator formulas of DPM-Solver and DPM-Solver++ in one form.

With lambda = log(alpha/sigma), h = lambda_t - lambda_s, and m the network's eps or x0:

    noise form (m = eps): x_t = alpha_t/alpha_s x - sigma_t phi1(h) m + ...
    data form  (m = x0):  x_t = sigma_t/sigma_s x - alpha_t phi1(-h) m + ...

so with z = h or -h both read  ratio x - c (phi1(z) m + ...),  phi1(z) = e^z - 1, phi2 = phi1/z - 1,
phi3 = phi2/z - 1/2.

Sources: Lu et al. 2022a (2206.00927), Algorithms 1-2; 2022b (2211.01095), Algorithms 1-2 and appendices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian


class Span(NamedTuple):
    """Factors of a step from s to t: x_t = ratio x - c (...), in z."""

    ratio: Tensor
    c: Tensor
    z: Tensor

    @property
    def phi1(self) -> Tensor:
        return torch.expm1(self.z)

    @property
    def phi2(self) -> Tensor:
        return self.phi1 / self.z - 1

    @property
    def phi3(self) -> Tensor:
        return self.phi2 / self.z - 0.5


class Level(NamedTuple):
    """The process at one time."""

    log_alpha: Tensor
    sigma: Tensor
    log_snr: Tensor

    @property
    def alpha(self) -> Tensor:
        return self.log_alpha.exp()


Part = float | Tensor
"""Of the way in log-SNR from the start of a step to its end."""


class Stages(NamedTuple):
    """The times of a singlestep: where it starts, its inner stages, where it ends; and parts: where these stand."""

    times: list[Tensor]
    parts: list[Part]


class Known(NamedTuple):
    """A network answer m and the time that it was given for."""

    t: Tensor
    m: Tensor


@dataclass
class Exponential:
    """Steps of orders 1 to 3, singlestep and multistep.

    Args:
        process: gives alpha, sigma and lambda.
        data: m is x0 (DPM-Solver++), else eps.
        taylor: the Taylor form of second order, else the paper's own.
    """

    process: Gaussian
    data: bool
    taylor: bool = False
    _levels: dict[float, Level] = field(default_factory=dict)

    def ask(self, denoiser: Denoiser, x: Tensor, t: Tensor) -> Known:
        """The network's answer at (x, t)."""
        return Known(t, denoiser.x0(x, t) if self.data else denoiser.eps(x, t))

    def span(self, s: Tensor, t: Tensor, h: Tensor | None = None) -> Span:
        """Factors of the step from s to t; h, if it is known better than from the times."""
        a, b, z = self.level(s), self.level(t), self.gap(s, t) if h is None else h
        if self.data:
            return Span(b.sigma / a.sigma, b.alpha, -z)
        return Span((b.log_alpha - a.log_alpha).exp(), b.sigma, z)

    def gap(self, s: Tensor, t: Tensor) -> Tensor:
        """h = lambda_t - lambda_s."""
        return self.level(t).log_snr - self.level(s).log_snr

    def level(self, t: Tensor) -> Level:
        """alpha, sigma and lambda at t; each time is asked for about five times, and computed once."""
        key = t.item()
        if key not in self._levels:
            self._levels[key] = Level(self.process.log_alpha(t), self.process.sigma(t), self.process.log_snr(t))
        return self._levels[key]

    def first(self, x: Tensor, a: Known, t: Tensor, h: Tensor | None = None) -> Tensor:
        """Order 1 (DDIM): x at a.t to t."""
        step = self.span(a.t, t, h)
        return step.ratio * x - step.c * step.phi1 * a.m

    def second(self, x: Tensor, a: Known, b: Known, t: Tensor, r: Part) -> Tensor:
        """Order 2 from answers at a.t and at the stage b.t, r of the way in log-SNR."""
        step = self.span(a.t, t)
        half = 1 / r * (step.c * step.phi2) if self.taylor else 0.5 / r * (step.c * step.phi1)
        return self.first(x, a, t) - half * (b.m - a.m)

    def third_stage(self, x: Tensor, a: Known, b: Known, t: Tensor, r1: Part, r2: Part, h: Tensor) -> Tensor:
        """x at the second inner stage of order 3, t, r2 of the way h; b.t is r1 of the way."""
        step = self.span(a.t, t, r2 * h)
        return self.first(x, a, t, r2 * h) - r2 / r1 * (step.c * step.phi2) * (b.m - a.m)

    def third(self, x: Tensor, a: Known, b: Known, c: Known, t: Tensor, r1: Part, r2: Part) -> Tensor:
        """Order 3 from answers at a.t and the stages b.t, c.t."""
        step = self.span(a.t, t)
        if not self.taylor:
            return self.first(x, a, t) - 1 / r2 * (step.c * step.phi2) * (c.m - a.m)
        near, far = (b.m - a.m) / r1, (c.m - a.m) / r2
        slope, bend = (r2 * near - r1 * far) / (r2 - r1), 2 * (far - near) / (r2 - r1)
        return self.first(x, a, t) - step.c * (step.phi2 * slope + step.phi3 * bend)

    def singlestep(self, denoiser: Denoiser, x: Tensor, stages: Stages) -> list[Tensor]:
        """x at the end of the step by orders 1 to the number of stages; the network is asked at every stage."""
        (s, *inner, t), parts = stages
        a, h = self.ask(denoiser, x, s), self.gap(s, t)
        results = [self.first(x, a, t)]
        if inner:
            b = self.ask(denoiser, self.first(x, a, inner[0], parts[0] * h), inner[0])
            results.append(self.second(x, a, b, t, parts[0]))
        if len(inner) > 1:
            c = self.ask(denoiser, self.third_stage(x, a, b, inner[1], parts[0], parts[1], h), inner[1])
            results.append(self.third(x, a, b, c, t, parts[0], parts[1]))
        return results

    def multistep(self, x: Tensor, past: list[Known], t: Tensor) -> Tensor:
        """Order len(past) from the last answers, newest first; x stands at past[0].t."""
        now, *older = past
        step, h = self.span(now.t, t), self.gap(now.t, t)
        if not older:
            return self.first(x, now, t)
        r0 = self.gap(older[0].t, now.t) / h
        near = (now.m - older[0].m) / r0
        if len(older) == 1:
            return self.first(x, now, t) - step.c * self._half(step) * near
        r1 = self.gap(older[1].t, older[0].t) / h
        change = (near - (older[0].m - older[1].m) / r1) / (r0 + r1)
        return self.first(x, now, t) - step.c * (step.phi2 * (near + r0 * change) + step.phi3 * change)

    def _half(self, step: Span) -> Tensor:
        """The factor of the slope at second order: phi1/2 in the paper, phi2 by Taylor."""
        return step.phi2 if self.taylor else step.phi1 / 2


def even_stages(process: Gaussian, s: Tensor, t: Tensor, order: int) -> Stages:
    """From s to t, with order - 1 inner stages that part the step evenly in log-SNR."""
    first, parts = process.log_snr(s), [j / order for j in range(1, order)]
    h = process.log_snr(t) - first
    return Stages([s, *(process.time_of_log_snr(first + part * h) for part in parts), t], parts)


def stages_at(process: Gaussian, times: Sequence[Tensor]) -> Stages:
    """From times[0] to times[-1], with the inner stages at the times between."""
    first, *inner, last = (process.log_snr(t) for t in times)
    return Stages(list(times), [(level - first) / (last - first) for level in inner])
