"""What a row changes: friendly names of the recipe, optional slots, settings, whole shelves, combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from zoo import registry
from zoo.errors import RecipeError
from zoo.recipe import Recipe
from zoo.recipe.merge import patches
from zoo.recipe.schema import sections
from zoo.signature import Field

JOIN = "+"


@dataclass(frozen=True)
class Change:
    """A named patch: dotted key -> value, or a node."""

    label: str
    patch: Mapping[str, Any]

    def over(self, recipe: Recipe) -> Recipe:
        """The recipe with this change. Raises: RecipeError if it does not fit."""
        return recipe.override(dict(self.patch), origin=f"row {self.label}")

    def __add__(self, other: Change) -> Change:
        return Change(f"{self.label} {other.label}".strip(), {**self.patch, **other.patch})


def droppable(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Name -> patch of whatever `drop` knows: the recipe's friendly names, then slots that may be `none`."""
    slots = {key.removeprefix("backbone."): {key: "none"} for key in optional_slots(recipe)}
    return {**slots, **friendly(recipe)}


def friendly(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe's own names under `ablate:`."""
    return recipe.get("ablate", {})


def optional_slots(recipe: Recipe) -> list[str]:
    """Dotted keys of the parts in use whose shelf has a part `none`."""
    return list(_optional(recipe.tree, sections(), ""))


def _optional(node: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> Iterator[str]:
    for name, field in fields.items():
        kinds, value = field.type.kinds, node.get(name)
        if not kinds or not value:
            continue
        key = f"{path}.{name}" if path else name
        used = [n for n in (value if isinstance(value, list) else [value]) if isinstance(n, dict) and "use" in n]
        if any(n["use"] != "none" for n in used) and any(p.name == "none" for p in registry.parts(kinds[0])):
            yield key
        if isinstance(value, dict) and used:
            yield from _optional(value, registry.find(kinds[0], value["use"]).fields, key)


def drop(recipe: Recipe, names: str) -> Change:
    """The change that leaves out one thing, or several together ("long_skip+padding_tokens").

    Raises: RecipeError with the nearest name.
    """
    known, change = droppable(recipe), Change("", {})
    for name in names.split(JOIN):
        patch = known.get(name.strip().removeprefix("backbone."))
        if patch is None:
            raise RecipeError(f"there is nothing called {name.strip()!r} to drop", where=f"--drop {names}",
                              allowed=known, given=name.strip())
        change += Change(f"-{name.strip()}", patch)
    return change


def variant(recipe: Recipe, words: Sequence[str]) -> Change:
    """The change that settings make ("backbone.scan=two_way"), or a friendly name ("two_way") among them.

    Raises: RecipeError for a word that is neither.
    """
    change, names = Change("", {}), friendly(recipe)
    for word in words:
        if "=" in word:
            key, _, text = word.partition("=")
            ((_, tree),) = patches([word], "--set")
            for step in key.strip().split("."):
                tree = tree[step]
            change += Change(f"{key.strip().removeprefix('backbone.')}={text.strip()}", {key.strip(): tree})
        elif word in names:
            change += Change(word, names[word])
        else:
            raise RecipeError(f"{word!r} is neither key=value nor a name of this recipe", where="--set",
                              allowed=names or ["key=value"], given=word)
    return change


def table(recipe: Recipe, number: str) -> tuple[list[Change], dict[str, float]]:
    """The rows of a published table, the unchanged recipe apart, and its figures by row.

    Raises: RecipeError if the recipe tells of no such table.
    """
    tables = recipe.get("published.tables", {})
    if number not in tables:
        raise RecipeError(f"recipe {recipe.name!r} tells of no table {number}", where="--table",
                          allowed=tables or "none", given=number)
    figures = tables[number]
    rows = [drop(recipe, label[1:]) if label.startswith("-") else variant(recipe, [label])
            for label in figures if label != FULL]  # fmt: skip
    return rows, figures


FULL = "full"
"""The row without any change."""


def sweep(recipe: Recipe, shelf: str) -> list[Change]:
    """One change for each part of a shelf that the recipe does not use there already; in the backbone also its forms.

    Args:
        shelf: a kind of part ("padding"), or the dotted key of a slot ("backbone.final_norm").

    Raises: RecipeError with the nearest shelf that stands in this recipe.
    """
    places = _places(recipe)
    key = next((k for k in (shelf, f"backbone.{shelf}") if k in places), None)
    key = key or next((k for k, kind in places.items() if kind == shelf), None)
    if key is None:
        names = sorted({*places.values(), *(k.removeprefix("backbone.") for k in places)})
        raise RecipeError(f"no shelf {shelf!r} in this recipe", where="--sweep", allowed=names, given=shelf)
    here = recipe.get(key)
    here = here if isinstance(here, dict) else {}
    return [change for part in registry.parts(places[key]) for change in _forms(key, part, here)]


def _forms(key: str, part: registry.Part, here: Mapping[str, Any]) -> Iterator[Change]:
    """The part by itself, then, of a backbone, every other value of its fields of two or three; not what is `here`."""
    short, used = key.removeprefix("backbone."), here.get("use") == part.name
    if not used:
        yield Change(f"{short}={part.name}", {key: part.name})
    for field in part.fields.values() if key.startswith("backbone.") else ():
        now = here.get(field.name) if used else field.default
        for value in (v for v in _values(field) if v != now):
            said = f"{field.name}={str(value).lower() if isinstance(value, bool) else value}"
            if used:
                yield Change(f"{short}.{said}", {f"{key}.{field.name}": value})
            else:
                yield Change(f"{short}={part.name} {said}", {key: {"use": part.name, field.name: value}})


def _values(field: Field) -> tuple[Any, ...]:
    """What a field may be, if that is one of two or three."""
    values = {"bool": (False, True), "literal": field.type.args}.get(field.type.name, ())
    return values if len(values) <= 3 and field.default in values else ()


def _places(recipe: Recipe) -> dict[str, str]:
    """Dotted key -> kind of every slot in the recipe, from the top down."""
    return dict(_slots(recipe.tree, sections(), ""))


def _slots(node: Mapping[str, Any], fields: Mapping[str, Field], path: str) -> Iterator[tuple[str, str]]:
    deeper = []
    for name, field in fields.items():
        kinds, value = field.type.kinds, node.get(name)
        if not kinds or field.type.name == "dict":
            continue
        key = f"{path}.{name}" if path else name
        yield key, kinds[0]
        if isinstance(value, dict) and "use" in value:
            deeper.append((value, registry.find(kinds[0], value["use"]).fields, key))
    for inner in deeper:
        yield from _slots(*inner)


def combinations(changes: Sequence[Change]) -> list[Change]:
    """Every combination of the changes, none and one alone included; those of one key exclude each other."""
    groups: list[list[Change]] = []
    for change in changes:
        same = [g for g in groups if any(_collide(change, other) for other in g)]
        groups = [g for g in groups if g not in same] + [[c for g in same for c in g] + [change]]
    found = []
    for chosen in product(*([None, *group] for group in groups)):
        taken = [change for change in chosen if change]
        if taken:
            found.append(sum(taken[1:], taken[0]))
    return sorted(found, key=lambda c: len(c.patch))


def _collide(one: Change, other: Change) -> bool:
    return any(a == b or a.startswith(f"{b}.") or b.startswith(f"{a}.") for a in one.patch for b in other.patch)
