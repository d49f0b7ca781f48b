from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from zoo.errors import RecipeError
from zoo.registry import register

UNFIT = ("Optimizer", "LBFGS", "SparseAdam")
"""The base class; one that asks for the loss again and again; one for sparse gradients."""


@register("optimizer", "torch")
def by_torch(
    named: Iterable[tuple[str, nn.Parameter]],
    *,
    name: str,  # a class of torch.optim, for instance SGD, NAdam, Adafactor
    lr: float = 1.0e-3,  # full learning rate
    weight_decay: float = 0.0,
    options: dict[str, Any] = {},  # its other arguments, for instance {momentum: 0.9, nesterov: true}
) -> torch.optim.Optimizer:
    """Any optimizer of torch.optim that needs dense gradients alone.

    Raises: RecipeError if there is none of that name, or an option does not fit.
    """
    known = [n for n, kind in vars(torch.optim).items() if isinstance(kind, type) and n not in UNFIT]
    if name not in known:
        raise RecipeError(f"torch.optim has no {name!r} for this", where="train.optimizer.name", allowed=sorted(known),
                          given=name)
    kind = getattr(torch.optim, name)
    takes_decay = "weight_decay" in inspect.signature(kind).parameters
    decay = {"weight_decay": weight_decay} if weight_decay or takes_decay else {}
    try:
        return kind([p for _, p in named], lr=lr, **decay, **options)
    except (TypeError, ValueError) as error:
        raise RecipeError(str(error), where=f"train.optimizer {name}", fix="look at train.optimizer.options") from None
