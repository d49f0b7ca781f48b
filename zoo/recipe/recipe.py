"""The recipe as everything downstream sees it: frozen, complete, with an identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from zoo.errors import RecipeError
from zoo.recipe import layers
from zoo.recipe.check import check
from zoo.recipe.explain import explain
from zoo.recipe.identity import differences, digest
from zoo.recipe.node import Node, plain, walk
from zoo.recipe.yaml import dump, parse

MISSING = object()


@dataclass(frozen=True, eq=False)
class Recipe:
    """A backbone and what is around it, checked, with every default filled in.

    Args:
        name: stem of the file, name of the run folder, or "inline".
        path: the file, if there is one.
        merged: the tree as written, before defaults; overriding starts from it.
        resolved: the complete tree.
    """

    name: str
    path: Path | None
    merged: Node = field(repr=False)
    resolved: Node = field(repr=False)

    @classmethod
    def from_text(cls, text: str | bytes, name: str = "inline", *, allow_plugins: bool = False) -> Recipe:
        """A recipe that stands in no file, for instance inside a weights file; it is not trusted.

        Raises: RecipeError if it is wrong, or names plug-ins (code) without `allow_plugins`.
        """
        bases, own = layers.split(parse(text, name), Path.cwd())
        if own.plugins and not allow_plugins:
            raise RecipeError(f"{own.plugins[0].value!r} is code that this recipe wants to run",
                              where=own.plugins[0].origin, fix="allow plug-ins if you trust its author")
        below = [layer for base in bases for layer in layers.read_layers(_shipped(base))]
        return cls._from_tree(name, None, layers.stack([*below, own]))

    @classmethod
    def _from_tree(cls, name: str, path: Path | None, merged: Node) -> Recipe:
        return cls(name, path, merged, check(merged))

    @property
    def tree(self) -> dict[str, Any]:
        """The complete recipe as plain dicts and lists, a fresh copy."""
        return plain(self.resolved)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that may change results."""
        return digest(self.tree)

    @property
    def hash(self) -> str:
        """The first 16 digits of `digest`."""
        return self.digest[:16]

    def __getitem__(self, section: str) -> Any:
        return self.get(section)

    def get(self, key: str, default: Any = MISSING) -> Any:
        """The value at a dotted key.

        Raises: RecipeError if there is no such key and no `default`.
        """
        try:
            return plain(walk(self.resolved, key, self.name))
        except RecipeError:
            if default is MISSING:
                raise
            return default

    def explain(self, key: str) -> str:
        """The value at a dotted key, where it was set, what it overrode, its type, default and meaning."""
        return explain(key, walk(self.resolved, key, self.name))

    def override(self, overrides: Sequence[str] | Mapping[str, Any], origin: str = "command line") -> Recipe:
        """The recipe with other settings: ["train.batch=64", ...] or {"train.batch": 64, ...}.

        Raises: RecipeError if an override is malformed or does not fit.
        """
        return Recipe._from_tree(self.name, self.path, layers.lay_overrides(self.merged, overrides, origin))

    def ablated(self, name: str) -> Recipe:
        """The recipe under one of its named ablations."""
        return self._patched("ablate", name)

    def preset(self, name: str) -> Recipe:
        """The recipe with one of its named settings for sampling, for instance "picture".

        Raises: RecipeError naming those that there are.
        """
        return self._patched("presets", name)

    def _patched(self, section: str, name: str) -> Recipe:
        patches = walk(self.resolved, section, self.name).value
        if name not in patches:
            raise RecipeError(f"no {name!r} among the {section}", where=self.name, allowed=list(patches) or "none",
                              given=name)
        return self.override(dict(patches[name].value), origin=f"{section}.{name}")

    def diff(self, other: Recipe) -> list[tuple[str, Any, Any]]:
        """(dotted key, our value, their value) for everything that may change results."""
        return list(differences(self.tree, other.tree))

    def to_yaml(self) -> str:
        """The complete recipe as text; read back, it has the same hash."""
        return dump(self.tree)


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe of a file, a run folder or a name, with overrides.

    Raises: RecipeError naming file, line and the nearest fix for every mistake.
    """
    path = layers.locate(name_or_path)
    name = path.resolve().parent.name if path.name == "recipe.yaml" else path.stem
    merged = layers.stack(layers.read_layers(path))
    return Recipe._from_tree(name, path, layers.lay_overrides(merged, overrides, "command line"))


def _shipped(base: Node) -> Path:
    """The file of a shipped recipe; a text without a folder extends nothing else."""
    if base.value not in layers.recipes():
        raise RecipeError(f"extends: {base.value!r} is no shipped recipe", where=base.origin,
                          allowed=layers.recipes(), given=base.value)
    return layers.locate(layers.home() / f"{base.value}.yaml")
