"""Which recipe uses which part, and where in a recipe each kind of part may stand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from zoo import registry
from zoo.recipe import Recipe, load_recipe, recipes
from zoo.recipe.node import Node
from zoo.recipe.schema import sections


@cache
def all_recipes() -> dict[str, Recipe]:
    """Every shipped recipe by name."""
    return {name: load_recipe(name) for name in recipes()}


def parts_of(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(kind, name) of every part in a recipe, those inside other parts too."""
    for key, node in recipe.resolved.value.items():
        if key not in ("ablate", "published"):
            yield from _walk(node, "")


def _walk(node: Node, kind: str) -> Iterator[tuple[str, str]]:
    if node.field is not None:
        kind = (node.field.type.kinds or ("",))[0]
    if kind and isinstance(node.value, dict) and "use" in node.value:
        yield kind, node.value["use"].value
        kind = ""
    for _, child in node.children():
        yield from _walk(child, kind)


@cache
def users() -> dict[tuple[str, str], list[str]]:
    """(kind, part) -> names of the recipes that use it."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, recipe in all_recipes().items():
        for part in dict.fromkeys(parts_of(recipe)):
            found.setdefault(part, []).append(name)
    return found


@cache
def places() -> dict[str, list[str]]:
    """Kind -> where a recipe may name a part of it, for instance "backbone.norm"."""
    found: dict[str, list[str]] = {}
    for field in sections().values():
        for kind in dict.fromkeys(field.type.kinds):
            found.setdefault(kind, []).append(field.name)
    for part in (p for kind in registry.kinds() for p in registry.parts(kind)):
        for field in part.fields.values():
            for kind in dict.fromkeys(field.type.kinds):
                alone = part.name == "default" or part.kind == "backbone"
                owner = part.kind if alone else f"{part.kind} {part.name}"
                found.setdefault(kind, []).append(f"{owner}.{field.name}")
    return {kind: list(dict.fromkeys(names)) for kind, names in found.items()}
