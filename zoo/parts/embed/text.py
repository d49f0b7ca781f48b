"""Text features, one token each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.registry import register


@register("embed", "text")
class Text(nn.Module):
    """A linear map of text features, for instance of a frozen CLIP encoder.

    features (B,count,features) -> (B,count,D). The null text is the buffer `empty`, which should hold the
    encoding of the empty string. Source: U-ViT (arXiv 2209.12152, 3.2).
    """

    def __init__(
        self,
        width: int,
        *,
        features: int = 768,
        count: int = 77,
        reads: str = "text",  # the input that this embeds
    ):
        super().__init__()
        at_least(1, features, f"features of {reads}")
        at_least(1, count, f"count of {reads}")
        self.count, self.reads = count, reads
        self.proj = nn.Linear(features, width)
        self.register_buffer("empty", torch.zeros(count, features))

    def forward(self, features: Tensor) -> Tensor:
        return self.proj(features.to(self.proj.weight.dtype))

    def null(self, batch: int, device: torch.device) -> Tensor:
        """The encoding of no text, (B,count,features)."""
        return self.empty.to(device).expand(batch, -1, -1)
