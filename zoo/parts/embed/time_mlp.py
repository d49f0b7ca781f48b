"""The time through a small network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import at_least
from zoo.parts.sinusoids import halves, sinusoid
from zoo.registry import register


@register("embed", "time_mlp")
class TimeMLP(nn.Module):
    """Network time as a sinusoid, then Linear, SiLU, Linear.

    t (B,) in network time -> (B,1,D). Source: DiT (arXiv 2212.09748, 3.2); U-ViT with `mlp_time_embed`.
    """

    reads, count = "t", 1

    def __init__(
        self,
        width: int,
        *,
        frequencies: int = 256,  # width of the sinusoid, 0 for the model's width
        hidden: int = 1,  # width of the hidden layer, in model widths
        std: float = 0.02,  # of the weights at the start
    ):
        super().__init__()
        at_least(1, hidden, "hidden of time_mlp")
        at_least(0, std, "std of time_mlp")
        self.frequencies, self.std = frequencies or width, std
        halves(self.frequencies, "frequencies of time_mlp" if frequencies else "backbone.width")
        self.up = nn.Linear(self.frequencies, hidden * width)
        self.down = nn.Linear(hidden * width, width)

    def forward(self, t: Tensor) -> Tensor:
        waves = sinusoid(t, self.frequencies).to(self.up.weight.dtype)
        return self.down(F.silu(self.up(waves)))[:, None]

    def reset(self, depth: int) -> None:
        """Normal weights."""
        for layer in (self.up, self.down):
            nn.init.normal_(layer.weight, std=self.std)
