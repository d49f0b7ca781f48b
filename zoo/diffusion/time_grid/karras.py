from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("time_grid", "karras")
@dataclass(kw_only=True)
class Karras:
    """Equal steps in (sigma/alpha)^(1/rho).

    Source: Karras et al. 2022 (2206.00364), Eq. 5.
    """

    rho: float = 7.0  # larger: shorter steps near the data

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """steps + 1 times from start down to end, float64."""
        first, last = ((-process.log_snr(t) / self.rho).exp().item() for t in (start, end))
        levels = torch.linspace(first, last, steps + 1, dtype=torch.float64) ** self.rho
        times = process.time_of_log_snr(-levels.log())
        times[0], times[-1] = start, end
        return times
