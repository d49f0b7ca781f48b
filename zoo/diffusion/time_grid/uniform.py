from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("time_grid", "uniform", aliases=("time_uniform",))
@dataclass(kw_only=True)
class Uniform:
    """Equal steps in time."""

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """steps + 1 times from start down to end, float64."""
        return torch.linspace(start, end, steps + 1, dtype=torch.float64)
