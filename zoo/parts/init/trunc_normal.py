"""Normal linear maps."""

from __future__ import annotations

from torch import nn

from zoo.errors import positive
from zoo.registry import register


@register("init", "trunc_normal")
def trunc_normal(backbone: nn.Module, *, std: float = 0.02) -> None:  # of the weights
    """Linear weights truncated normal, biases zero; convolutions as PyTorch makes them. Source: U-ViT."""
    positive(std, "backbone.init.std")
    for module in backbone.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            module.reset_parameters()
