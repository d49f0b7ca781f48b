from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.errors import ZooError
from zoo.registry import register


@register("time_grid", "shifted")
@dataclass(kw_only=True)
class Shifted:
    """Uniform steps pushed towards noise, t -> shift t / (1 + (shift - 1) t), for flows at larger sizes.

    With n times the pixels of the training size, shift sqrt(n) keeps the SNR of the coarse image.
    Source: Esser et al. 2024 (2403.03206), Eq. 23.
    """

    shift: float = 3.0  # 1 is uniform

    def __post_init__(self):
        if not self.shift > 0:
            raise ZooError(f"shift {self.shift}", where="time_grid shifted", fix="make it positive")

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """steps + 1 times from start down to end, float64."""
        t = torch.linspace(0, 1, steps + 1, dtype=torch.float64).flip(0)
        return end + (start - end) * self.shift * t / (1 + (self.shift - 1) * t)
