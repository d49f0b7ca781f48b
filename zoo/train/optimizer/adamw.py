from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from zoo.registry import register


@register("optimizer", "adamw")
def adamw(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    lr: float = 2.0e-4,  # full learning rate
    betas: list[float] = [0.99, 0.999],  # memory of the mean and of the square of gradients
    eps: float = 1.0e-8,
    weight_decay: float = 0.03,  # on every tensor, norms and biases included, as U-ViT and DiM were trained
) -> torch.optim.AdamW:
    """Adam with decoupled weight decay in one fused kernel.

    Source: Loshchilov & Hutter 2019 (1711.05101), Algorithm 2.
    """
    parameters = [p for _, p in named]
    return torch.optim.AdamW(parameters, lr=lr, betas=(betas[0], betas[1]), eps=eps, weight_decay=weight_decay,
                             fused=True)  # fmt: skip
