"""Gaussian processes x_t = alpha(t) x0 + sigma(t) eps, and what a network may predict about them.

Time is continuous, t in [0, 1]: 0 is data, 1 is noise. Everything about time is computed in float64
and meets the images as a factor of their own type. Every prediction p is linear in (x0, eps), so the
pair p = a x0 + b eps and x_t = alpha x0 + sigma eps is solved for whatever a sampler asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ClassVar

import torch
from torch import Tensor

from zoo.errors import ZooError

PREDICTIONS = ("eps", "x0", "v", "velocity")


_CLOCK: ContextVar[torch.dtype] = ContextVar("clock", default=torch.float64)


@contextmanager
def clock(dtype: torch.dtype) -> Iterator[None]:
    """Inside, everything about time is computed in this type: published code has that of the images."""
    before = _CLOCK.set(dtype)
    try:
        yield
    finally:
        _CLOCK.reset(before)


def published_rounding() -> bool:
    """Whether the clock has the type of published code's, float32."""
    return _CLOCK.get() == torch.float32


def as_time(t: float | Tensor) -> Tensor:
    """Time as a float64 tensor, () or (B,), or in the type of the `clock`; float32 on a device without float64."""
    if isinstance(t, (int, float)):
        return torch.tensor(t, dtype=_CLOCK.get(), device="cpu")
    return t.to(torch.float32 if t.device.type == "mps" else _CLOCK.get())


def per_image(value: Tensor, x: Tensor) -> Tensor:
    """A value per image, (B,), shaped to multiply images; a scalar () stays one."""
    if value.ndim == 0:
        return value
    return value.to(x.device, x.dtype).reshape(-1, *[1] * (x.ndim - 1))


class Gaussian:
    """What every process shares; a subclass gives alpha, sigma, rates, time_of_log_snr and network_time."""

    predict: str = "eps"
    learned_variance: bool = False
    variance: str = "fixed_small"
    alphas_cumprod: Tensor | None = None  # of a discrete chain, alpha^2 at t = n/N; None: continuous time only
    allowed: ClassVar[tuple[str, ...]] = PREDICTIONS

    def check_prediction(self, name: str) -> None:
        if self.predict not in self.allowed:
            raise ZooError(
                f"cannot predict {self.predict!r}", where=f"process {name}", allowed=self.allowed, given=self.predict
            )

    def alpha(self, t: float | Tensor) -> Tensor:
        """Factor of the data at t."""
        raise NotImplementedError

    def sigma(self, t: float | Tensor) -> Tensor:
        """Standard deviation of the noise at t."""
        raise NotImplementedError

    def log_alpha(self, t: float | Tensor) -> Tensor:
        """log alpha(t)."""
        return self.alpha(t).log()

    def rates(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """(d alpha / dt, d sigma / dt)."""
        raise NotImplementedError

    def time_of_log_snr(self, log_snr: float | Tensor) -> Tensor:
        """The inverse of `log_snr`."""
        raise NotImplementedError

    def network_time(self, t: float | Tensor) -> Tensor:
        """What the backbone receives as its time."""
        raise NotImplementedError

    def log_snr(self, t: float | Tensor) -> Tensor:
        """lambda(t) = log(alpha / sigma): half the logarithm of the signal-to-noise ratio."""
        return self.log_alpha(t) - self.sigma(t).log()

    def drift(self, t: float | Tensor) -> Tensor:
        """f(t) of the forward SDE dx = f x dt + g dw (Song et al. 2021, Eq. 5)."""
        return self.rates(t)[0] / self.alpha(t)

    def squared_diffusion(self, t: float | Tensor) -> Tensor:
        """g(t)^2 of the forward SDE: d sigma^2/dt - 2 f sigma^2."""
        sigma = self.sigma(t)
        return 2 * sigma * self.rates(t)[1] - 2 * self.drift(t) * sigma**2

    def input_scale(self, t: float | Tensor) -> Tensor | None:
        """Factor of the backbone's input; None leaves it alone."""
        return None

    def sample_time(self, u: Tensor) -> Tensor:
        """Training times from uniform numbers u in [0, 1)."""
        return as_time(u)

    def snap(self, t: Tensor) -> Tensor:
        """The training time nearest to t."""
        return as_time(t)

    def prior(self, noise: Tensor) -> Tensor:
        """Where sampling starts: standard normal noise brought to the scale of t = 1."""
        return noise

    def outputs(self, channels: int) -> int:
        """Channels of the backbone's output."""
        return 2 * channels if self.learned_variance else channels

    def perturb(self, x0: Tensor, t: float | Tensor, eps: Tensor) -> Tensor:
        """x_t = alpha(t) x0 + sigma(t) eps."""
        return self.mix(x0, eps, self.alpha(t), self.sigma(t))

    def target(self, x0: Tensor, eps: Tensor, t: float | Tensor) -> Tensor:
        """What the network is trained to give at (x_t, t)."""
        return self.mix(x0, eps, *self.target_factors(t))

    def target_factors(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of the prediction a x0 + b eps; v is Salimans & Ho 2022, velocity is dx_t/dt."""
        t = as_time(t)
        if self.predict == "velocity":
            return self.rates(t)
        if self.predict == "v":
            return -self.sigma(t), self.alpha(t)
        one, zero = torch.ones_like(t), torch.zeros_like(t)
        return (one, zero) if self.predict == "x0" else (zero, one)

    def x0(self, prediction: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """The data that a prediction at (x, t) stands for; divided last, as published: near t = 1 rounding shows."""
        a, b = self.target_factors(t)
        alpha, sigma = self.alpha(t), self.sigma(t)
        return self.mix(x, prediction, b, -sigma) / per_image(alpha * b - sigma * a, x)

    def eps(self, prediction: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """The noise that a prediction at (x, t) stands for."""
        return self.mix(x, prediction, *self._solve(t, 0.0, 1.0))

    def velocity(self, prediction: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """dx/dt of the probability-flow ODE at (x, t)."""
        return self.mix(x, prediction, *self.velocity_factors(t))

    def velocity_factors(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """Factors of (x, prediction) in the velocity; not finite where the ODE cannot be started."""
        return self._solve(t, *self.rates(t))

    def prediction(self, eps: Tensor, x: Tensor, t: float | Tensor) -> Tensor:
        """The inverse of `eps`: what the network would have to give at (x, t)."""
        a, b = self.target_factors(t)
        alpha, sigma = self.alpha(t), self.sigma(t)
        return self.mix(x, eps, a / alpha, b - a * sigma / alpha)

    def slope_in_x0(self, t: float | Tensor) -> Tensor:
        """How much the prediction at a fixed (x, t) grows with the x0 that it stands for; finite at t = 1."""
        a, b = self.target_factors(t)
        return a - b * self.alpha(t) / self.sigma(t)

    def prediction_scale(self, t: float | Tensor) -> Tensor:
        """|error of the prediction| / |error of its x0|, the unit in which losses are weighted."""
        a, b = self.target_factors(t)
        return (self.alpha(t) * b - self.sigma(t) * a).abs() / self.sigma(t)

    def _solve(self, t: float | Tensor, c0: float | Tensor, c1: float | Tensor) -> tuple[Tensor, Tensor]:
        """Factors of (x, prediction) that give c0 x0 + c1 eps (Cramer's rule)."""
        a, b = self.target_factors(t)
        alpha, sigma = self.alpha(t), self.sigma(t)
        det = alpha * b - sigma * a
        return (c0 * b - c1 * a) / det, (c1 * alpha - c0 * sigma) / det

    @staticmethod
    def mix(first: Tensor, second: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """a first + b second, for factors () or (B,)."""
        return per_image(a, first) * first + per_image(b, second) * second
