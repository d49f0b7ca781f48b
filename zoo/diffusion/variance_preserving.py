"""Variance-preserving schedules, alpha^2 + sigma^2 = 1, each given by log alpha as a function of time."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time


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
        double = -2 * log_alpha  # the root of (high-low)/2 t^2 + low t = double, without cancellation
        return 2 * double / (self.low + (self.low**2 + 2 * (self.high - self.low) * double).sqrt())


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
    """log alpha linear between the steps of a discrete chain, t = n/N for n = 1..N, and extrapolated outside."""

    def __init__(self, log_alphas: Tensor):
        self.values = log_alphas.double()
        self.steps = len(log_alphas)

    def log_alpha(self, t: Tensor) -> Tensor:
        left, values = self._segment(t), self.values.to(t)
        slope = values[left + 1] - values[left]
        return (values[left] + slope * (t * self.steps - left - 1)).clamp(max=0)

    def beta(self, t: Tensor) -> Tensor:
        left, values = self._segment(t), self.values.to(t)
        return -2 * self.steps * (values[left + 1] - values[left])

    def time_of_log_alpha(self, log_alpha: Tensor) -> Tensor:
        values = self.values.to(log_alpha)
        left = (torch.searchsorted(-values, -log_alpha.contiguous()) - 1).clamp(0, self.steps - 2)
        slope = values[left + 1] - values[left]
        return (left + 1 + (log_alpha - values[left]) / slope) / self.steps

    def _segment(self, t: Tensor) -> Tensor:
        return (t * self.steps).floor().long().sub(1).clamp(0, self.steps - 2)


class VariancePreserving(Gaussian):
    """A process on a `Schedule`: sigma comes from expm1, exact where alpha is almost one."""

    schedule: Schedule

    def log_alpha(self, t: float | Tensor) -> Tensor:
        return self.schedule.log_alpha(as_time(t))

    def alpha(self, t: float | Tensor) -> Tensor:
        return self.log_alpha(t).exp()

    def sigma(self, t: float | Tensor) -> Tensor:
        return (-torch.expm1(2 * self.log_alpha(t))).sqrt()

    def beta(self, t: float | Tensor) -> Tensor:
        return self.schedule.beta(as_time(t))

    def log_snr(self, t: float | Tensor) -> Tensor:
        log_alpha = self.log_alpha(t)
        return log_alpha - 0.5 * (-torch.expm1(2 * log_alpha)).log()

    def time_of_log_snr(self, log_snr: float | Tensor) -> Tensor:
        log_alpha = -0.5 * torch.nn.functional.softplus(-2 * as_time(log_snr), threshold=700.0)
        return self.schedule.time_of_log_alpha(log_alpha)

    def drift(self, t: float | Tensor) -> Tensor:
        return -0.5 * self.beta(t)

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        return self.beta(t)

    def rates(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        alpha, beta = self.alpha(t), self.beta(t)
        return -0.5 * beta * alpha, 0.5 * beta * alpha**2 / self.sigma(t)
