"""PyTorch's own initialisation."""

from __future__ import annotations

from torch import nn

from zoo.registry import register


@register("init", "default")
def default(
    backbone: nn.Module,
    *,
    zero_bias: bool = False,  # of the linear maps
) -> None:
    """Every layer as PyTorch makes it. Source: DiM as released, with `zero_bias`."""
    for module in backbone.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            module.reset_parameters()
        if zero_bias and isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
