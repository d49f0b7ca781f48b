"""Published state dicts in and out: shapes decide the recipe, a table of names moves the tensors."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from zoo.errors import CheckpointError, nearest
from zoo.interop.names import Rename, rename
from zoo.interop.read import unwrapped
from zoo.recipe import Recipe

FAMILIES = {
    "dim": "zoo.interop.dim",
    "u-vit": "zoo.interop.uvit",
    "dit": "zoo.interop.dit",
    "dis": "zoo.interop.dis",
    "zigma": "zoo.interop.zigma",
}
"""Family -> the module that knows its published names."""
ONLY_AT_THE_START = re.compile(r"\.(init|std|zero|dt_min|dt_max)\b")
"""Fields of a backbone that say how it is initialised, not what it computes."""
EMBEDDING = "backbone.conditioning.embed."
"""Where a recipe may offer more than its network reads; what is not read has no weights."""


class Family(Protocol):
    """What a module of this package offers."""

    SIGNATURE: tuple[str, ...]  # names that no other family has together
    NAMES: list[Rename]
    HINTS: dict[str, str]

    def regroup(self, state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]: ...
    def ungroup(self, state: dict[str, Tensor]) -> dict[str, Tensor]: ...
    def recipe(self, state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]: ...
    def settings(self, tree: Mapping[str, Any]) -> dict[str, Any]: ...


def load_official(family: str, state_dict: Mapping[str, Tensor], recipe: Recipe | str | Path | None = None,
                  **hints: Any) -> nn.Module:  # fmt: skip
    """A backbone with published weights, in eval mode; `backbone.recipe` says what it is.

    Args:
        family: "dim", "u-vit", "dit", "dis" or "zigma".
        state_dict: tensors under their published names, of any type (they become float32); what training programs
            put around them is taken off: `module.`, `_orig_mod.`, a dict with "ema" or "model".
        recipe: what these weights were trained by, such as "uvit_h_imagenet256": it brings process and
            sampler, of which weights say nothing. None: the shapes decide.
        hints: what shapes cannot tell, under the published names: `num_heads`, `sample_size`,
            `pad_token_schedules`, `scan_pattern_len` ... Those that change nothing are accepted.

    Raises: CheckpointError for an unknown family, or listing the names that are missing or left over, or
        where the recipe is of another network.
    """
    from zoo.builder import as_recipe, build_backbone

    module, given = module_of(family), None if recipe is None else as_recipe(recipe)
    _warn_unknown(family, module.HINTS, hints)
    if given is not None:
        hints = {**known_from(given, module), **hints}
    try:
        state = _regrouped(family, module, state_dict, hints)
        found = described(family, module, state, hints)
    except KeyError as error:
        raise CheckpointError(f"this is no whole {family} state dict: it has no {error}") from None
    except (ValueError, IndexError, RuntimeError, ZeroDivisionError) as error:
        raise CheckpointError(f"the shapes are not those of a {family} model: {error}",
                              fix="give the published settings as hints") from None
    if given is not None:
        check_same(family, given, found)
    backbone = build_backbone(given or found)
    try:
        tensors, left_over = rename(state, module.NAMES)
        missing, unexpected = backbone.load_state_dict(tensors, strict=False)
    except (RuntimeError, ValueError) as error:  # shapes
        raise CheckpointError(f"these weights do not fit the {family} model that their shapes suggest: {error}",
                              fix="give the published settings as hints") from None
    missing = [name for name in missing if name not in not_published(module)]
    if missing or unexpected or left_over:
        raise CheckpointError(f"these are not the weights of a {family} model that the zoo knows: "
                              f"no place for {[*left_over, *unexpected]}, nothing for {missing}")
    backbone.recipe = given or found
    return backbone.eval()


def family_of(state_dict: Mapping[str, Tensor]) -> str:
    """The family whose published names these are. Raises: CheckpointError if there is none."""
    for family in FAMILIES:
        if all(name in state_dict for name in module_of(family).SIGNATURE):
            return family
    some = ", ".join(list(state_dict)[:4])
    raise CheckpointError(f"these are not the names of a published family: {some} ...", allowed=sorted(FAMILIES))


def module_of(family: str) -> Any:
    """The module of a family. Raises: CheckpointError for an unknown one."""
    name = family.lower().replace("_", "-").replace("uvit", "u-vit")
    if name not in FAMILIES:
        raise CheckpointError(f"unknown family of checkpoints {family!r}", allowed=sorted(FAMILIES), given=family)
    return importlib.import_module(FAMILIES[name])


def not_published(module: Any) -> tuple[str, ...]:
    """Our tensors that published files do not hold."""
    return getattr(module, "NOT_PUBLISHED", ())


def known_from(recipe: Recipe, module: Any) -> dict[str, Any]:
    """The hints that a recipe gives: its grid of patches, and what the family's settings say."""
    *_, height, width = recipe["shape"]
    size = recipe.get("backbone.patch.size")
    return {"patches_hw": (height // size, width // size), **module.settings(recipe.tree)}


def described(family: str, module: Any, state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> Recipe:
    """The recipe of regrouped tensors."""
    return Recipe.from_text(json.dumps({"provenance": "published", **module.recipe(state, hints)}), name=family)


def check_same(family: str, recipe: Recipe, published: Recipe) -> None:
    """Raises: CheckpointError where a recipe's network computes something else than the published one."""
    wrong = [f"{key} is {ours}, published {theirs}" for key, ours, theirs in recipe.diff(published)
             if key.partition(".")[0] in ("shape", "backbone") and not ONLY_AT_THE_START.search(key)
             and not (key.startswith(EMBEDDING) and theirs is None)]  # fmt: skip
    if wrong:
        raise CheckpointError(f"{recipe.name} is not the {family} network of these weights: {'; '.join(wrong)}")


def _regrouped(family: str, module: Any, state_dict: Mapping[str, Tensor], hints: Mapping[str, Any]) -> Any:
    state = unwrapped(state_dict)
    if lacking := [name for name in module.SIGNATURE if name not in state]:
        raise CheckpointError(f"this is no published {family} state dict: it has no {lacking}")
    return module.regroup(state, hints)


def _warn_unknown(family: str, known: Mapping[str, str], hints: Mapping[str, Any]) -> None:
    for name in hints:
        if name not in known:
            close = nearest(name, known)
            warnings.warn(f"{family}: hint {name!r} is not known and changes nothing"
                          + (f"; did you mean {close!r}?" if close else ""), stacklevel=3)
