"""A backbone from its weights file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.builder import build_backbone
from zoo.errors import CheckpointError
from zoo.recipe import Recipe
from zoo.weights.card import model_card, write_card
from zoo.weights.file import read_weights, save_weights
from zoo.weights.folder import weights_file
from zoo.weights.hub import FILE, download, on_hub

LISTED = 8


def from_pretrained(source: str | Path, *, ema: bool = True, device: str | torch.device = "cpu",
                    allow_plugins: bool = False) -> nn.Module:  # fmt: skip
    """The backbone that a weights file describes, in eval mode, with its recipe as `.recipe`.

    Args:
        source: a .safetensors file, a run folder (its newest valid checkpoint), a checkpoint folder, a folder
            that `save_pretrained` wrote, or a model on the hub, `org/name`, `org/name@revision` or `hf-hub:org/name`.
        ema: prefer averaged weights where there are any.
        allow_plugins: run the plug-ins that the recipe inside names. They are somebody's code.

    Raises: CheckpointError if the weights are missing, damaged or of another network; RecipeError.
    """
    path = locate(source, ema)
    weights = read_weights(path)
    recipe = Recipe.from_text(weights.recipe_yaml, str(path), allow_plugins=allow_plugins)
    backbone = build_backbone(recipe)
    load_strict(backbone, weights.tensors, str(path))
    backbone.recipe, backbone.card = recipe, weights.card
    return backbone.to(device).eval()


def locate(source: str | Path, ema: bool = True) -> Path:
    """The weights file behind whatever names one; downloads a hub id."""
    return download(str(source)) if on_hub(source) else weights_file(Path(source), ema)


def load_strict(module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy `tensors` into `module`; every name and every shape must fit.

    Raises: CheckpointError that lists what is missing, unexpected or of another shape.
    """
    check_fit(module.state_dict(), tensors, where)
    module.load_state_dict(tensors)


def check_fit(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str) -> None:
    """Raises: CheckpointError that lists what is missing, unexpected or of another shape than in `own`."""
    complaints = [
        _listing("missing", [name for name in own if name not in tensors]),
        _listing("unexpected", [name for name in tensors if name not in own]),
        _listing("of another shape", [
            f"{name} {tuple(tensors[name].shape)}, the recipe's is {tuple(tensor.shape)}"
            for name, tensor in own.items() if name in tensors and tensors[name].shape != tensor.shape
        ]),
    ]  # fmt: skip
    if any(complaints):
        listed = "; ".join(filter(None, complaints))
        raise CheckpointError(f"these weights do not fit their recipe: {listed}", where=where)


def save_pretrained(backbone: nn.Module, folder: str | Path, recipe: Recipe | None = None,
                    card: Mapping[str, Any] | None = None, *, source: str = "") -> Path:  # fmt: skip
    """Write `model.safetensors` and, to read, `recipe.yaml` and a model card; returns the weights file.

    Args:
        recipe: what rebuilds the backbone; a loaded backbone brings its own.
        card: facts about the weights, kept with them and shown in README.md; one that somebody wrote stays.
        source: what the card tells to give `from_pretrained`, the folder's name by default.

    Raises: CheckpointError if there is no recipe.
    """
    recipe = recipe or getattr(backbone, "recipe", None)
    if recipe is None:
        raise CheckpointError("this backbone carries no recipe", where=str(folder), fix="pass recipe=")
    card = {**getattr(backbone, "card", {}), **(card or {})}
    path = Path(folder) / FILE
    save_weights(path, backbone.state_dict(), recipe.to_yaml(), card)
    (path.parent / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
    write_card(path.parent, model_card(backbone, recipe, card, source or path.parent.resolve().name))
    return path


def _listing(kind: str, names: list[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} {kind} ({', '.join(names[:LISTED])}{more})" if names else ""
