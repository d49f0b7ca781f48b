from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.errors import ZooError
from zoo.registry import register

EDGE = 1e-9


@register("time", "logit_normal")
@dataclass(kw_only=True)
class LogitNormal:
    """t = sigmoid(mean + std z): the middle of the path more often; on a discrete chain, the nearest step.

    Source: Esser et al. 2024 (2403.03206), Eq. 19. A positive mean favours noise (t = 1).
    """

    mean: float = 0.0  # location, in logits of t
    std: float = 1.0  # scale

    def __post_init__(self):
        if not self.std > 0:
            raise ZooError(f"std {self.std}", where="time logit_normal", fix="make it positive")

    def __call__(self, u: Tensor, process: Gaussian) -> Tensor:
        """Times (B,), float64, from uniform numbers u (B,) in [0, 1)."""
        z = torch.special.ndtri(as_time(u).clamp(EDGE, 1 - EDGE))
        return process.snap((self.mean + self.std * z).sigmoid())
