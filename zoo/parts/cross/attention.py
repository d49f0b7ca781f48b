"""Attention to an embedding of the condition, for instance text."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.grid import Grid
from zoo.parts.protocols import Condition
from zoo.registry import register


@register("cross", "attention")
class CrossAttention(nn.Module):
    """Each token asks, the tokens of `source` answer; all of them, without a mask.

    n (B,L,D) and embeddings (B,n,D) -> (B,L,D). Source: latent diffusion (arXiv 2112.10752, 3.3); ZigMa
    (arXiv 2403.13802, 3.3).
    """

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        source: list[str] = ["text"],  # embeddings that are read, one after another
        heads: int = 8,
        head_width: int = 64,  # channels of a head
    ):
        super().__init__()
        at_least(1, heads, "backbone.cross.heads")
        at_least(1, head_width, "backbone.cross.head_width")
        self.source, self.heads = tuple(source), heads
        self.q = nn.Linear(width, heads * head_width, bias=False)
        self.k = nn.Linear(width, heads * head_width, bias=False)
        self.v = nn.Linear(width, heads * head_width, bias=False)
        self.out = nn.Linear(heads * head_width, width)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        context = cond.cat(self.source)
        q, k, v = (self._heads(x) for x in (self.q(n), self.k(context), self.v(context)))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
