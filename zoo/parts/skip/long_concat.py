"""Long connections that concatenate, as in a U-Net without resampling."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.parts.long_skips import LongSkips
from zoo.parts.protocols import Stream
from zoo.registry import register


@register("skip", "long_concat")
class LongConcat(LongSkips):
    """Blocks of the second half read a linear map of the stream and an early block's output.

    Errors: RecipeError for an even depth. Source: U-ViT (arXiv 2209.12152, Eq. 3); DiM (arXiv 2405.14224, 3.2).
    """

    biases = 1

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        start: Literal[0, 1] = 0,  # the first block whose output is used; 1 as DiM: one block reads its own input twice
        tune: float = 1.0,  # factor of the last skip; those before it lie evenly between 1 and it
    ):
        super().__init__(width, depth, start)
        self.tune = tune

    def block(self, i: int) -> nn.Module | None:
        if self.source(i) is None:
            return None
        first, last = self.depth // 2 + 1, self.depth - 1
        return _Concat(self.width, self.biases, 1 + (self.tune - 1) * (i - first) / max(last - first, 1))


class _Concat(nn.Linear):
    """weight (D,2D): the stream's half first, the skip's second; bias (biases,D), summed."""

    def __init__(self, width: int, biases: int, factor: float):
        super().__init__(2 * width, width)
        self.factor = factor
        self.bias = nn.Parameter(self.bias.new_zeros(biases, width))

    def forward(self, h: Stream, kept: Tensor) -> Stream:
        stream, skip = self.weight.chunk(2, 1)  # two products instead of a concatenated copy
        kept = kept if self.factor == 1 else kept * self.factor
        bias = self.bias[0] if len(self.bias) == 1 else self.bias[0] + self.bias[1]
        total = F.linear(h.value, stream, bias)
        flat, more, weight = total.flatten(0, 1), kept.flatten(0, 1).to(total.dtype), skip.T.to(total.dtype)
        into = None if torch.is_grad_enabled() else flat  # what backward may read again must stay
        return Stream(torch.addmm(flat, more, weight, out=into).view_as(total))

    def reset_parameters(self) -> None:
        """Uniform by the number of inputs: one linear map of 2D, or two of D."""
        bound = (self.in_features // (len(self.bias) if self.bias.ndim == 2 else 1)) ** -0.5
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -bound, bound)
