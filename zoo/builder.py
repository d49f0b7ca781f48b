"""Recipe -> objects: the only builder.

A part node becomes a factory: its class with the recipe's fields bound. Whoever owns the slot calls
the factory with what it has to give (a width, a grid), so that assembly stays ordinary Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from zoo import registry
from zoo.recipe import Recipe, load_recipe
from zoo.signature import Type


def build(recipe: Recipe | str | Path, overrides: Sequence[str] = ()) -> nn.Module:
    """The backbone of a recipe, freshly initialised.

    Args:
        recipe: a Recipe, the name of a shipped recipe or a path.
        overrides: dotted settings such as "backbone.padding=none".

    Raises: RecipeError, PartError.
    """
    return build_backbone(as_recipe(recipe, overrides))


def as_recipe(recipe: Recipe | str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A Recipe from whatever names one."""
    if isinstance(recipe, Recipe):
        return recipe.override(overrides) if overrides else recipe
    return load_recipe(recipe, overrides)


def build_backbone(recipe: Recipe) -> nn.Module:
    """The backbone, sized by the recipe's shape and by what the process predicts."""
    shape = tuple(recipe["shape"])
    return section(recipe, "backbone")(shape, build_process(recipe).outputs(shape[-3]))


def build_process(recipe: Recipe) -> Any:
    """The diffusion process."""
    return section(recipe, "process")()


def section(recipe: Recipe, name: str) -> Callable[..., Any]:
    """The factory of one top-level part, for instance "sampler" or "data"."""
    kind = "dataset" if name == "data" else name
    return factory(kind, recipe[name])


def factory(kind: str, node: dict[str, Any]) -> Callable[..., Any]:
    """The part that a resolved node names, with its fields bound and its inner parts made factories."""
    part = registry.find(kind, node["use"])
    fields = {name: _value(part.fields[name].type, value) for name, value in node.items() if name != "use"}
    return partial(part.load(), **fields)


def _value(type: Type, value: Any) -> Any:
    """A field's value with every part node inside it replaced by its factory."""
    if isinstance(value, dict) and "use" in value and type.kinds:
        return factory(type.kinds[0], value)
    inner = [a for a in type.args if isinstance(a, Type) and a.kinds]
    if not inner:
        return value
    if type.name == "union":
        fitting = [a for a in inner if (a.name == "list") == isinstance(value, list)]
        return _value(fitting[0], value) if fitting else value
    if isinstance(value, list):
        return [_value(inner[-1], v) for v in value]
    return {k: _value(inner[-1], v) for k, v in value.items()} if isinstance(value, dict) else value


def summary(recipe: Recipe | str | Path, overrides: Sequence[str] = ()) -> dict[str, int | None]:
    """Parameters, tokens and multiply-adds of one image, counted on tensors without memory.

    `paper_macs` leaves out what is hidden inside fused kernels, as DiM's Table 1 was counted; it is None
    where nothing is hidden.
    """
    recipe = as_recipe(recipe, overrides)
    counted = json.dumps([recipe.get(name, None) for name in ("shape", "process", "backbone", "plugins")])
    if counted not in _summaries:
        _summaries[counted] = _count(recipe)
    return dict(_summaries[counted])


_summaries: dict[str, dict[str, int | None]] = {}
"""By what is counted: a study asks for the same few again and again."""


def _count(recipe: Recipe) -> dict[str, int | None]:
    from zoo.ops.flops import count_macs

    with torch.device("meta"):
        backbone = build_backbone(recipe)
        x, t = torch.empty(1, *recipe["shape"]), torch.empty(1)
        y = {name: torch.zeros(1, dtype=torch.int64) for name in needed_labels(backbone)}
        with torch.no_grad():
            macs, by_module = count_macs(backbone, x, t, y)
    root = type(backbone).__name__
    hidden = sum(_hidden(by_module, f"{root}.{name}", module) for name, module in backbone.named_modules())
    return {
        "parameters": sum(p.numel() for p in backbone.parameters()),
        "macs": macs,
        "paper_macs": macs - hidden if hidden else None,
    }


def needed_labels(backbone: nn.Module) -> list[str]:
    """Labels that have no null value and must be given."""
    return [m.reads for m in backbone.modules() if getattr(m, "has_null", True) is False]


@runtime_checkable
class HidesMacs(Protocol):
    """A module that knows which of its multiply-adds stay unseen."""

    def hidden_macs(self, macs: int) -> int:
        """Of these, in one call, those that a counter blind to fused kernels misses."""
        ...


def _hidden(by_module: dict[str, int], name: str, module: nn.Module) -> int:
    """Multiply-adds of a module that a counter blind to fused kernels misses."""
    return module.hidden_macs(by_module.get(name, 0)) if isinstance(module, HidesMacs) else 0
