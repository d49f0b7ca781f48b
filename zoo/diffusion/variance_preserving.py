"""Variance-preserving schedules, alpha^2 + sigma^2 = 1, each given by log alpha as a function of time."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time, published_rounding


class Schedule(Protocol):
    """log alpha(t), its inverse, and beta(t) = -2 d log alpha / dt."""

    def log_alpha(self, t: Tensor) -> Tensor: ...

    def beta(self, t: Tensor) -> Tensor: ...

    def time_of_log_alpha(self, log_alpha: Tensor) -> Tensor: ...


class LinearBeta:
    """beta(t) = low + (high - low) t (Song et al. 2021, Eq. 32)."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def log_alpha(self, t: Tensor) -> Tensor:
        return -(self.high - self.low) / 4 * t**2 - self.low / 2 * t

    def beta(self, t: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * t

    def time_of_log_alpha(self, log_alpha: Tensor) -> Tensor:
        rise = self.high - self.low  # the root of rise/2 t^2 + low t = -2 log alpha, without cancellation
        four = -4 * rise * log_alpha
        return four / ((self.low**2 + four).sqrt() + self.low) / rise


class Cosine:
    """alpha(t) = cos(angle(t)) / cos(angle(0)), angle = pi/2 (t + s)/(1 + s) (Nichol & Dhariwal 2021, Eq. 17)."""

    def __init__(self, offset: float = 0.008):
        self.offset = offset

    def angle(self, t: Tensor) -> Tensor:
        return math.pi / 2 * (t + self.offset) / (1 + self.offset)

    def log_alpha(self, t: Tensor) -> Tensor:
        return (self.angle(t).cos().log() - self.angle(as_time(0.0)).cos().log()).clamp(max=0)

    def beta(self, t: Tensor) -> Tensor:
        return math.pi / (1 + self.offset) * self.angle(t).tan()

    def time_of_log_alpha(self, log_alpha: Tensor) -> Tensor:
        cosine = log_alpha.exp() * self.angle(as_time(0.0)).cos()
        return 2 / math.pi * (1 + self.offset) * cosine.clamp(max=1).acos() - self.offset


class Knots:
    """log alpha linear between the steps of a discrete chain, t = n/N for n = 1..N, and extrapolated outside.

    Args:
        betas: variances of the chain, float64; what is made of them has the type of the times it is asked for.
    """

    def __init__(self, betas: Tensor):
        self.betas, self.steps = betas, len(betas)
        self._tables: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = {}

    def log_alpha(self, t: Tensor) -> Tensor:
        return interpolate(t, *self._knots(t)).clamp(max=0)

    def beta(self, t: Tensor) -> Tensor:
        left, values = (t * self.steps).floor().long().sub(1).clamp(0, self.steps - 2), self._knots(t)[1]
        return -2 * self.steps * (values[left + 1] - values[left])

    def time_of_log_alpha(self, log_alpha: Tensor) -> Tensor:
        times, values = self._knots(log_alpha)
        return interpolate(log_alpha, values.flip(0), times.flip(0))

    def _knots(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """t and log alpha at every step, in the type of `like`."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            times = torch.linspace(0, 1, self.steps + 1, dtype=torch.float64, device="cpu")[1:]
            values = 0.5 * (1 - self.betas.to(like.dtype)).log().cumsum(0)
            self._tables[key] = times.to(like), values.to(like)
        return self._tables[key]


def interpolate(x: Tensor, xs: Tensor, ys: Tensor) -> Tensor:
    """y at x, piecewise linear through the points (xs, ys), xs rising; the outer pieces go on beyond them."""
    left = (torch.searchsorted(xs, x.contiguous()) - 1).clamp(0, len(xs) - 2)
    return ys[left] + (x - xs[left]) * (ys[left + 1] - ys[left]) / (xs[left + 1] - xs[left])


def noise_variance(log_alpha: Tensor) -> Tensor:
    """1 - alpha^2; by expm1, exact where alpha is almost one, but under a float32 `clock` as published code rounds."""
    return 1 - (2 * log_alpha).exp() if published_rounding() else -torch.expm1(2 * log_alpha)


class VariancePreserving(Gaussian):
    """A process on a `Schedule` of log alpha."""

    schedule: Schedule

    def log_alpha(self, t: float | Tensor) -> Tensor:
        return self.schedule.log_alpha(as_time(t))

    def alpha(self, t: float | Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: float | Tensor) -> Tensor:
        return noise_variance(self.log_alpha(t)).sqrt()

    def beta(self, t: float | Tensor) -> Tensor:
        return self.schedule.beta(as_time(t))

    def log_snr(self, t: float | Tensor) -> Tensor:
        log_alpha = self.log_alpha(t)
        return log_alpha - 0.5 * noise_variance(log_alpha).log()

    def time_of_log_snr(self, log_snr: float | Tensor) -> Tensor:
        double = -2 * as_time(log_snr)
        log_alpha = -0.5 * torch.logaddexp(double, torch.zeros_like(double))
        return self.schedule.time_of_log_alpha(log_alpha)

    def drift(self, t: float | Tensor) -> Tensor:
        return -0.5 * self.beta(t)

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return self.beta(t)

    def rates(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        alpha, beta = self.alpha(t), self.beta(t)
        return -0.5 * beta * alpha, 0.5 * beta * alpha**2 / self.sigma(t)
