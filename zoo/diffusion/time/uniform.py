from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("time", "uniform")
@dataclass(kw_only=True)
class Uniform:
    """Every training time alike: t in [0, 1), or every step of a discrete chain."""

    def __call__(self, u: Tensor, process: Gaussian) -> Tensor:
        """Times (B,), float64, from uniform numbers u (B,) in [0, 1)."""
        return process.sample_time(u)
