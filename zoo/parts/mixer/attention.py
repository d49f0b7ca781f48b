"""Softmax attention."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import RecipeError, at_least
from zoo.grid import Grid
from zoo.parts.protocols import Condition
from zoo.registry import register


@register("mixer", "attention")
class Attention(nn.Module):
    """Multi-head self-attention over all tokens, or over each row of the scan order alone.

    n (B,L,D) -> (B,L,D); within a row the order does not matter.
    Errors: RecipeError if the heads do not divide the width.
    Source: Vaswani et al. (arXiv 1706.03762, 3.2); U-ViT and DiT.
    """

    source = ()

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        heads: int = 8,
        bias: bool = False,  # of the query, key and value projection
    ):
        super().__init__()
        at_least(1, heads, "backbone.mixer.heads")
        if width % heads:
            fits = [h for h in range(1, width + 1) if width % h == 0]
            raise RecipeError(f"{heads} heads do not divide the width {width}", where="backbone.mixer.heads",
                              allowed=fits)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.out = nn.Linear(width, width)

    def forward(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        if order is not None and order.ndim == 3:
            order = order[0]  # of several directions, which visit the same rows
        if order is None or order.ndim == 1 or len(order) == 1:
            return self._attend(n)
        rows = n[:, order]
        mixed = self._attend(rows.flatten(0, 1)).view_as(rows).flatten(1, 2)
        return n.new_empty(n.shape, dtype=mixed.dtype).index_copy(1, order.flatten().long(), mixed)

    def _attend(self, n: Tensor) -> Tensor:
        q, k, v = self.qkv(n).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
