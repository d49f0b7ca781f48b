"""A number as cosines and sines: what embeddings of the time are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import RecipeError


def sinusoid(t: Tensor, width: int, period: float = 10000.0) -> Tensor:
    """[cos(t f), sin(t f)] with f_k = period^(-k/(width/2)); t (B,) -> (B,width) in float32."""
    half = width // 2
    f = torch.exp(-math.log(period) / half * torch.arange(half, device=t.device, dtype=torch.float32))
    angles = t.float()[:, None] * f
    return torch.cat([angles.cos(), angles.sin()], 1)


def halves(width: int, where: str) -> None:
    """Refuse a width without as many sines as cosines.

    Raises: RecipeError.
    """
    if width < 2 or width % 2:
        raise RecipeError(f"a sinusoid of {width} channels cannot be half cosines, half sines", where=where,
                          allowed="even numbers from 2 on")
