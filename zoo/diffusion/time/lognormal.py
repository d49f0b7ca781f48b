from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.errors import ZooError
from zoo.registry import register

EDGE = 1e-9


@register("time", "lognormal")
@dataclass(kw_only=True)
class LogNormal:
    """log(sigma/alpha) = mean + std z, as EDM trains; on a discrete chain, the nearest step.

    Source: Karras et al. 2022 (2206.00364), Table 1 and section 5.
    """

    mean: float = -1.2  # of log(sigma/alpha)
    std: float = 1.2  # of log(sigma/alpha)

    def __post_init__(self):
        if not self.std > 0:
            raise ZooError(f"std {self.std}", where="time lognormal", fix="make it positive")

    def __call__(self, u: Tensor, process: Gaussian) -> Tensor:
        """Times (B,), float64, from uniform numbers u (B,) in [0, 1)."""
        z = torch.special.ndtri(as_time(u).clamp(EDGE, 1 - EDGE))
        return process.snap(process.time_of_log_snr(-self.mean - self.std * z))
