"""Xavier-uniform linear maps."""

from __future__ import annotations

from torch import nn

from zoo.registry import register


@register("init", "xavier")
def xavier(backbone: nn.Module) -> None:
    """Linear weights and the patch projection Xavier-uniform, biases zero. Source: DiT (arXiv 2212.09748, 4)."""
    for module in backbone.modules():
        patchifies = isinstance(module, nn.Conv2d) and module.kernel_size == module.stride
        if isinstance(module, nn.Linear) or patchifies:
            nn.init.xavier_uniform_(module.weight.data.flatten(1))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            module.reset_parameters()
