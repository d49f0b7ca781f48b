"""Perfect networks for data whose density is known: what samplers are measured against.

    backbone = Exact(process, Mixture())            # stands where a trained network would
    x = sampler(Denoiser(backbone, process), noise, noise=...)
    error = x - Mixture().flow(process, noise, sampler.start, sampler.end)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian

HALVINGS = 100


class Data(Protocol):
    """A density of data under which E[x0 | x_t] is known."""

    def answers(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """E[x0 | x] and E[eps | x] at x = alpha x0 + sigma eps."""
        ...


@dataclass(frozen=True)
class Mixture:
    """Every value of an image, by itself, is from a mixture of Gaussians."""

    means: Sequence = (-0.6, 0.8)
    spreads: Sequence[float] = (0.25, 0.35)
    weights: Sequence[float] = (0.3, 0.7)

    def answers(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """E[x0 | x] and E[eps | x], at sigma = 0 too."""
        logs, x0, eps = [], [], []
        for mean, spread, weight in zip(self.means, self.spreads, self.weights):
            variance = alpha**2 * spread**2 + sigma**2
            logs.append(torch.log(weight / variance.sqrt()) - 0.5 * (x - alpha * mean) ** 2 / variance)
            x0.append(mean + alpha * spread**2 / variance * (x - alpha * mean))
            eps.append(sigma / variance * (x - alpha * mean))
        share = torch.softmax(torch.stack(logs), 0)
        return (share * torch.stack(x0)).sum(0), (share * torch.stack(eps)).sum(0)

    def below(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """P(x_t < x)."""
        parts = zip(self.means, self.spreads, self.weights)
        return sum((w * torch.special.ndtr((x - alpha * m) / (alpha**2 * s**2 + sigma**2).sqrt()) for m, s, w in parts),
                   torch.zeros_like(x))  # fmt: skip

    def flow(self, process: Gaussian, x: Tensor, start: float, end: float) -> Tensor:
        """Where the probability-flow ODE takes x, float64: on a line it keeps every point's quantile."""
        there = (process.alpha(end), process.sigma(end))
        wanted = self.below(x, process.alpha(start), process.sigma(start))
        low, high = torch.full_like(x, -100.0), torch.full_like(x, 100.0)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            under = self.below(middle, *there) < wanted
            low, high = torch.where(under, middle, low), torch.where(under, high, middle)
        return (low + high) / 2

    @property
    def mean(self) -> float:
        """Of every value."""
        return sum(w * m for m, w in zip(self.means, self.weights))

    @property
    def deviation(self) -> float:
        """Of every value."""
        parts = zip(self.means, self.spreads, self.weights)
        return (sum(w * (s**2 + m**2) for m, s, w in parts) - self.mean**2) ** 0.5


GAUSSIAN = Mixture((0.4,), (0.5,), (1.0,))


@dataclass(frozen=True)
class Correlated:
    """The channels of every pixel are from one Gaussian with a mean (C,) and a covariance (C,C), float64."""

    mean: Tensor
    covariance: Tensor

    def answers(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """E[x0 | x] and E[eps | x]."""
        total = alpha**2 * self.covariance + sigma**2 * torch.eye(len(self.mean), dtype=torch.float64)
        mean = self.mean.reshape(-1, 1, 1)
        whitened = torch.einsum("cd,...dhw->...chw", torch.linalg.inv(total), x.double() - alpha * mean)
        x0 = mean + alpha * torch.einsum("cd,...dhw->...chw", self.covariance, whitened)
        return x0.to(x), (sigma * whitened).to(x)


class Exact:
    """A backbone that answers for known data, whatever the process predicts; counts its calls."""

    def __init__(self, process: Gaussian, data: Data = Mixture()):
        self.process, self.data, self.calls = process, data, 0
        self.first, self.last = process.network_time(0.0), process.network_time(1.0)

    def __call__(self, x: Tensor, n: Tensor, y: object = None) -> Tensor:
        """The best prediction at (x, n), n (B,) network time."""
        self.calls += 1
        if (n == n[0]).all():
            return self.answer(x, n[0])
        return torch.cat([self.answer(x[i : i + 1], time) for i, time in enumerate(n)])

    def answer(self, x: Tensor, n: Tensor) -> Tensor:
        """The best prediction where all images have the same time."""
        t = (n.double() - self.first) / (self.last - self.first)  # network time is affine in t for all
        scale = self.process.input_scale(t)
        x = x if scale is None else x / scale
        return self.process.target(*self.data.answers(x, self.process.alpha(t), self.process.sigma(t)), t)
