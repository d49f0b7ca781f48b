from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.errors import ZooError, positive
from zoo.registry import register


@register("process", "edm")
class EDM(Gaussian):
    """Variance-exploding x0 + sigma eps with EDM's preconditioning; log sigma is linear in t.

    The backbone receives x / sqrt(sigma^2 + data^2) and log(sigma)/4, and gives F of
    x0 = c_skip x + c_out F. Train with time lognormal; t leaves [0, 1] where sigma leaves its range.

    Source: Karras et al. 2022 (2206.00364), Table 1.
    """

    allowed: ClassVar[tuple[str, ...]] = ("residual", "x0", "eps")

    def __init__(
        self,
        *,
        predict: Literal["residual", "x0", "eps"] = "residual",  # residual: F of the paper
        sigma_min: float = 0.002,  # sigma at t = 0
        sigma_max: float = 80.0,  # sigma at t = 1
        sigma_data: float = 0.5,  # standard deviation of the data
    ):
        self.predict, self.sigma_min, self.sigma_max, self.sigma_data = predict, sigma_min, sigma_max, sigma_data
        self.check_prediction("edm")
        if not 0 < sigma_min < sigma_max:
            raise ZooError(
                f"sigma from {sigma_min} to {sigma_max}", where="process edm", fix="need 0 < sigma_min < sigma_max"
            )
        positive(sigma_data, "process.sigma_data")
        self.range = math.log(sigma_max / sigma_min)

    def alpha(self, t: float | Tensor) -> Tensor:
        return torch.ones_like(as_time(t))

    def sigma(self, t: float | Tensor) -> Tensor:
        return self.sigma_min * (self.range * as_time(t)).exp()

    def rates(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros_like(as_time(t)), self.range * self.sigma(t)

    def log_snr(self, t: float | Tensor) -> Tensor:
        return -math.log(self.sigma_min) - self.range * as_time(t)

    def time_of_log_snr(self, log_snr: float | Tensor) -> Tensor:
        return (-as_time(log_snr) - math.log(self.sigma_min)) / self.range

    def network_time(self, t: float | Tensor) -> Tensor:
        return -self.log_snr(t) / 4

    def input_scale(self, t: float | Tensor) -> Tensor:
        return 1 / (self.sigma(t) ** 2 + self.sigma_data**2).sqrt()

    def prior(self, noise: Tensor) -> Tensor:
        return self.sigma_max * noise

    def target_factors(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        if self.predict != "residual":
            return super().target_factors(t)
        sigma, data = self.sigma(t), self.sigma_data
        total = (sigma**2 + data**2).sqrt()
        return sigma / (data * total), -data / total  # (x0 - c_skip x) / c_out
