"""Norm and linear map to the patch values."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.parts.protocols import Condition, Norm, Stream
from zoo.registry import Make, register


@register("head", "linear")
class LinearHead(nn.Module):
    """Normalises, shifts and scales by the embeddings of `source` if there are any, and projects.

    tokens (B,L,D) -> (B,L,values). Source: U-ViT (no source), DiT (arXiv 2212.09748, 3.2), DiM as released.
    """

    def __init__(
        self,
        width: int,
        values: int,
        *,
        norm: Make[Norm] = "none",
        source: list[str] = [],  # embeddings whose sum gives shift and scale
        zero: bool = False,  # start with an output of zero
    ):
        super().__init__()
        self.source, self.zero = tuple(source), zero
        self.norm = norm(width)
        self.modulation = nn.Linear(width, 2 * width) if source else None
        self.proj = nn.Linear(width, values)

    def forward(self, tokens: Tensor, cond: Condition) -> Tensor:
        shift = scale = None
        if self.modulation is not None:
            shift, scale = self.modulation(F.silu(cond.sum(self.source)))[:, None].chunk(2, -1)
        return self.proj(self.norm(Stream(tokens), shift, scale)[1])

    def reset(self, depth: int) -> None:
        """Zero where the recipe asks for it."""
        if self.zero:
            for layer in filter(None, (self.modulation, self.proj)):
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)
