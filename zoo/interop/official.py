"""Load a published state dict: shapes decide the recipe, a table of names moves the tensors."""

from __future__ import annotations

import importlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from zoo.errors import CheckpointError, nearest

FAMILIES = {"dim": "zoo.interop.dim", "u-vit": "zoo.interop.uvit", "dit": "zoo.interop.dit"}
"""Family -> the module that knows its published names."""


@dataclass(frozen=True)
class Rename:
    """Published name (a regular expression) -> ours, with an optional change of layout."""

    theirs: str
    ours: str
    change: Callable[[Tensor], Tensor] | None = None


class Family(Protocol):
    """What a module of this package offers."""

    NAMES: list[Rename]
    HINTS: dict[str, str]

    def regroup(self, state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]: ...
    def recipe(self, state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]: ...


def load_official(family: str, state_dict: Mapping[str, Tensor], **hints: Any) -> nn.Module:
    """A backbone with published weights, in eval mode; `backbone.recipe` says what it is.

    Args:
        family: "dim", "u-vit" or "dit".
        state_dict: tensors under their published names.
        hints: what shapes cannot tell, under the published names: `num_heads`, `sample_size`,
            `pad_token_schedules`, `scan_pattern_len` ... Those that change nothing are accepted.

    Raises: CheckpointError for an unknown family, or listing the names that are missing or left over.
    """
    from zoo.builder import build_backbone
    from zoo.recipe import Recipe

    module = _family(family)
    _warn_unknown(family, module.HINTS, hints)
    state = module.regroup(dict(state_dict), hints)
    recipe = Recipe.from_text(json.dumps(module.recipe(state, hints)), name=family)
    backbone = build_backbone(recipe)
    tensors, left_over = rename(state, module.NAMES)
    try:
        missing, unexpected = backbone.load_state_dict(tensors, strict=False)
    except RuntimeError as error:  # shapes
        raise CheckpointError(f"these weights do not fit the {family} model that their shapes suggest: {error}",
                              fix="give the published settings as hints") from None
    missing = [name for name in missing if name not in getattr(module, "NOT_PUBLISHED", ())]
    if missing or unexpected or left_over:
        raise CheckpointError(f"these are not the weights of a {family} model that the zoo knows: "
                              f"no place for {[*left_over, *unexpected]}, nothing for {missing}")
    backbone.recipe = recipe
    return backbone.eval()


def rename(state: Mapping[str, Tensor], names: list[Rename]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, and the published names that no rule knows."""
    moved, left_over = {}, []
    for name, tensor in state.items():
        for rule in names:
            if match := re.fullmatch(rule.theirs, name):
                moved[match.expand(rule.ours)] = rule.change(tensor) if rule.change else tensor
                break
        else:
            left_over.append(name)
    return moved, left_over


def split_positions(table: Tensor, prefix: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """A published table (1,prefix+height*width,D) -> (prefix,D) and (height,width,D)."""
    return table[0, :prefix], table[0, prefix:].unflatten(0, (height, width))


def grid_of(cells: int, patch: int, hints: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns: as hinted, else the factors of `cells` nearest to each other, more rows than columns."""
    for name, unit in (("patches_hw", 1), ("input_hw", patch), ("sample_size", patch), ("img_size", patch)):
        size = hints.get(name) or 0
        rows, columns = size if isinstance(size, (list, tuple)) else (size, size)
        if (rows // unit) * (columns // unit) == cells:
            return rows // unit, columns // unit
    columns = max(c for c in range(1, cells + 1) if cells % c == 0 and c * c <= cells)
    return cells // columns, columns


def block_count(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the first group of `pattern` takes among the names."""
    return len({m.group(1) for name in state if (m := re.match(pattern, name))})


def _family(family: str) -> Any:
    name = family.lower().replace("_", "-").replace("uvit", "u-vit")
    if name not in FAMILIES:
        raise CheckpointError(f"unknown family of checkpoints {family!r}", allowed=sorted(FAMILIES), given=family)
    return importlib.import_module(FAMILIES[name])


def _warn_unknown(family: str, known: Mapping[str, str], hints: Mapping[str, Any]) -> None:
    for name in hints:
        if name not in known:
            close = nearest(name, known)
            warnings.warn(f"{family}: hint {name!r} is not known and changes nothing"
                          + (f"; did you mean {close!r}?" if close else ""), stacklevel=3)
