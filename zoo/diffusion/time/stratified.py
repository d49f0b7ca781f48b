from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Time
from zoo.registry import Make, register


@register("time", "stratified")
@dataclass(kw_only=True)
class Stratified:
    """Spreads a batch over the times: image i draws from the i-th of B equal parts, then `of` shapes it.

    Lowers the variance of the loss; the distribution of each batch's times stays that of `of`.
    Source: Kingma et al. 2021 (2107.00630), appendix I.1.
    """

    of: Make[Time] = "uniform"  # the distribution

    def __post_init__(self):
        self.inner: Time = nested("time", self.of)

    def __call__(self, u: Tensor, process: Gaussian) -> Tensor:
        """Times (B,), float64, from uniform numbers u (B,) in [0, 1)."""
        part = torch.arange(len(u), device=u.device)
        return self.inner((part + as_time(u)) / len(u), process)
