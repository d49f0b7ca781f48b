from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from zoo.diffusion.gaussian import as_time
from zoo.diffusion.variance_preserving import Knots, VariancePreserving
from zoo.errors import ZooError
from zoo.registry import register

BETAS = {"scaled_linear": (0.00085, 0.012), "linear": (1e-4, 0.02), "cosine": (0.008, 0.999)}
MOST = 1_000_000
"""Steps of a chain; log alpha is kept for each of them."""


@register("process", "discrete", aliases=("ddpm", "latent_diffusion"))
class Discrete(VariancePreserving):
    """Chain of 1000 noising steps; training times are uniform over the steps n = 1..N, t = n/N.

    The backbone receives n - 1 + `first`: 1..N in latent diffusion, U-ViT and DiM; 0..N-1 in DDPM and DiT.
    Between the steps log alpha is linear in t, which is what ODE solvers walk on.

    Sources: Ho et al. 2020; Nichol & Dhariwal 2021 (cosine, learned range); Rombach et al. 2022 (scaled
    linear); Lu et al. 2022, appendix (piecewise-linear log alpha).
    """

    allowed: ClassVar[tuple[str, ...]] = ("eps", "x0", "v")

    def __init__(
        self,
        *,
        predict: Literal["eps", "x0", "v"] = "eps",  # what the network gives
        betas: Literal["scaled_linear", "linear", "cosine"] = "scaled_linear",  # latent diffusion | DiT | improved DDPM
        beta_start: float | None = None,  # None: the schedule's own (0.00085, 0.0001, cosine offset 0.008)
        beta_end: float | None = None,  # None: the schedule's own (0.012, 0.02, cosine cap 0.999)
        steps: int = 1000,  # N
        first: int = 1,  # network time of the first step: 1 in latent diffusion and DiM, 0 in DiT
        variance: Literal["fixed_large", "fixed_small", "learned_range"] = "fixed_small",  # of ancestral sampling
    ):
        self.predict, self.steps, self.first, self.variance = predict, steps, first, variance
        self.check_prediction("discrete")
        if not 2 <= steps <= MOST:
            raise ZooError(f"{steps} steps", where="process discrete", fix=f"give 2 to {MOST:,} steps")
        start, end = BETAS[betas]
        start, end = start if beta_start is None else beta_start, end if beta_end is None else beta_end
        if not (0 < end < 1 and (0 <= start < math.inf if betas == "cosine" else 0 < start < 1)):
            raise ZooError(f"{betas} betas with beta_start {start} and beta_end {end} leave the range from 0 to 1",
                           where="process discrete", fix="need 0 < beta < 1 in every step")
        self.betas = make_betas(betas, start, end, steps)
        self.alphas_cumprod = torch.cumprod(1 - self.betas, 0)
        self.schedule = Knots(self.betas)
        self.learned_variance = variance == "learned_range"

    def network_time(self, t: float | Tensor) -> Tensor:
        return as_time(t) * self.steps + (self.first - 1)

    def sample_time(self, u: Tensor) -> Tensor:
        return ((as_time(u) * self.steps).floor() + 1).clamp(max=self.steps) / self.steps

    def snap(self, t: float | Tensor) -> Tensor:
        """The training time nearest to t."""
        return (as_time(t) * self.steps).round().clamp(1, self.steps) / self.steps


def make_betas(kind: str, start: float, end: float, steps: int) -> Tensor:
    """The chain's variances beta_1..beta_N, float64."""
    if kind == "linear":
        return torch.linspace(start, end, steps, dtype=torch.float64, device="cpu")
    if kind == "scaled_linear":
        return torch.linspace(math.sqrt(start), math.sqrt(end), steps, dtype=torch.float64, device="cpu") ** 2
    angle = (torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps + start) / (1 + start) * math.pi / 2
    alphas_cumprod = angle.cos() ** 2
    return (1 - alphas_cumprod[1:] / alphas_cumprod[:-1]).clamp(max=end)
