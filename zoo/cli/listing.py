"""What there is: kinds, parts, fields and recipes, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from typing import Any

from zoo import registry
from zoo.cli.table import Table
from zoo.errors import ZooError
from zoo.recipe import Recipe, load_recipe, recipes
from zoo.recipe.explain import brief
from zoo.recipe.layers import locate, read_layers
from zoo.registry import Part

REFERENCE = "dim_s_cifar"
"""The recipe in which parts are compared."""


def answer(words: Sequence[str], *, long: bool = False) -> list[Table]:
    """The tables that `zoo-list WORDS` shows.

    Raises: ZooError with the nearest kind or part.
    """
    if not words and not long:
        return [kinds(), Table("recipes", "recipes", ["recipe"], [[name] for name in recipes()])]
    what, pattern = (*words, "*", "*")[:2] if words else ("recipes", "*")
    if what == "recipes":
        return [recipe_table(pattern, long=long)]
    if is_glob(what):
        return [search(what), recipe_table(what, long=long)]
    if what not in registry.SHELVES:
        raise ZooError(f"there is no kind of part {what!r}", allowed=["recipes", *sorted(registry.SHELVES)], given=what)
    return [part_table(what, pattern, long=long)] if is_glob(pattern) else [field_table(registry.find(what, pattern))]


def is_glob(text: str) -> bool:
    """Whether a word is a pattern, not a name."""
    return any(c in text for c in "*?[")


def kinds() -> Table:
    """Every kind of part and the names on its shelf."""
    shelves = {kind: registry.parts(kind) for kind in registry.kinds()}
    return Table("kinds", "kinds of parts", ["kind", "parts", "names"],
                 [[kind, len(parts), " ".join(p.name for p in parts)] for kind, parts in shelves.items()])


def part_table(kind: str, pattern: str = "*", *, long: bool = False) -> Table:
    """The parts of a kind; `long` puts each into its slot of one recipe's backbone, if it has one, and counts."""
    found = [part for part in registry.parts(kind) if fnmatch(part.name, pattern)]
    columns, title = [kind, "what it is"], f"{kind}: {len(found)} parts"
    rows: list[list[object]] = [[part.name, part.doc] for part in found]
    if long and kind in registry.find("backbone", "sequence").fields:
        columns, title = [*columns, "parameters", "multiply-adds"], f"{title}, each in {REFERENCE}"
        rows = [[*row, *_count(REFERENCE, f"backbone.{kind}={row[0]}")[:2]] for row in rows]
    return Table("parts", title, columns, rows)


def search(pattern: str) -> Table:
    """Parts of all kinds by name."""
    found = [p for kind in registry.kinds() for p in registry.parts(kind) if fnmatch(p.name, pattern)]
    rows = [[part.kind, part.name, part.doc] for part in found]
    return Table("parts", f"parts like {pattern}", ["kind", "part", "what it is"], rows)


def field_table(part: Part) -> Table:
    """What a recipe may set on a part."""
    rows = [[f.name, str(f.type), "required" if f.required else brief(f.default), f.doc] for f in part.fields.values()]
    title = f"{part.kind} {part.name}: {part.doc}\n{part.where}"
    return Table("fields", title, ["field", "type", "default", "what it does"], rows)


def recipe_table(pattern: str = "*", *, long: bool = False) -> Table:
    """The recipes by name; `long` builds each backbone without memory and counts."""
    names = [name for name in recipes() if fnmatch(name, pattern)]
    columns = ["recipe", "provenance", "title"]
    rows: list[list[object]] = [[name, *_headline(name)] for name in names]
    if long:
        columns += ["parameters", "multiply-adds", "as the paper counted"]
        rows = [[*row, *_count(name)] for name, row in zip(names, rows)]
    return Table("recipes", f"recipes: {len(names)}", columns, rows)


def _headline(name: str) -> tuple[str, str]:
    """Provenance and title, read without checking the rest."""
    try:
        said: dict[str, Any] = {k: n.value for layer in read_layers(locate(name)) for k, n in layer.tree.value.items()}
    except ZooError as error:
        return "", f"cannot be read: {error}"
    return str(said.get("provenance", "ours")), str(said.get("title", ""))


def _count(name: str, *overrides: str) -> tuple[int | str | None, ...]:
    from zoo.builder import summary  # imports torch

    try:
        sizes = summary(load_recipe(name, overrides))
    except ZooError as error:
        return f"does not build: {str(error).splitlines()[0]}", None, None
    return sizes["parameters"], sizes["macs"], sizes["paper_macs"]


def citation(recipe: Recipe) -> str:
    """The paper of a recipe.

    Raises: ZooError if it names none.
    """
    if not recipe["cite"]:
        raise ZooError(f"recipe {recipe.name!r} names no paper; its provenance is {recipe['provenance']!r}")
    return recipe["cite"]
