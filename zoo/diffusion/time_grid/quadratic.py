from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("time_grid", "quadratic", aliases=("time_quadratic",))
@dataclass(kw_only=True)
class Quadratic:
    """Equal steps in t^(1/power): finer near the data.

    Source: Song, Meng & Ermon 2021 (2010.02502), appendix D.2.
    """

    power: float = 2.0  # 1 is uniform

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """steps + 1 times from start down to end, float64."""
        root = 1 / self.power
        times = torch.linspace(start**root, end**root, steps + 1, dtype=torch.float64) ** self.power
        times[0], times[-1] = start, end
        return times
