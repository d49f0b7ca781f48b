from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from zoo.errors import RecipeError
from zoo.registry import register


@register("optimizer", "timm")
def by_timm(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    name: str,  # as timm.optim.list_optimizers() has it, for instance lion, adan, lamb, muon
    lr: float = 1.0e-3,  # full learning rate
    weight_decay: float = 0.0,  # on every tensor
    options: dict[str, Any] = {},  # its other arguments, for instance {betas: [0.9, 0.99]}
) -> torch.optim.Optimizer:
    """Any optimizer of timm that needs gradients alone.

    Raises: RecipeError if there is none of that name, or an option does not fit.
    """
    from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers

    known = [n for n in list_optimizers() if not get_optimizer_info(n).second_order]
    if name not in known:
        raise RecipeError(f"timm has no optimizer {name!r}", where="train.optimizer.name", allowed=known, given=name)
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
    parameters = [p for _, p in named if p.requires_grad]
    try:
        return create_optimizer_v2(parameters, opt=name, lr=lr, weight_decay=weight_decay, **given)  # type: ignore[arg-type]
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise RecipeError(str(error), where=f"train.optimizer {name}", fix="look at train.optimizer.options") from None
