"""A small recipe of one's own that builds on another."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from zoo.errors import RecipeError
from zoo.recipe import Recipe, load_recipe, recipes
from zoo.recipe.yaml import inline

HEAD = """\
# Builds on {name}; what stands here wins. Every field: zoo-list KIND PART. Where a value comes from:
# zoo-train {file} --explain backbone.width
extends: {base}
title: {title}

# As in {name}; take the # away from what should be different, and from the line that it stands under.
"""


def write_starter(name: str, target: Path) -> None:
    """Write `target`, a recipe that extends `name` and shows what it could change.

    Raises: RecipeError if `name` is no recipe or `target` exists.
    """
    recipe = load_recipe(name)
    base = name if name in recipes() else os.path.relpath(recipe.path or name, target.parent)
    title = inline(f"{recipe['title'] or recipe.name}, changed")
    text = HEAD.format(name=name, file=target, base=inline(base), title=title) + "\n".join(_hints(recipe)) + "\n"
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise RecipeError(f"{target} exists already", fix="give another name") from None
    except OSError as error:
        raise RecipeError(f"cannot write {target}: {error.strerror}") from None


def _hints(recipe: Recipe) -> list[str]:
    """The sections as comments, a line for every field or slot."""
    lines = []
    for name in ("backbone", "sampler", "train"):
        lines.append(f"# {name}:")
        lines += [f"#   {key}: {inline(_short(value))}" for key, value in recipe[name].items() if key != "use"]
    return lines


def _short(value: Any) -> Any:
    """A part without fields by its name alone."""
    return value["use"] if isinstance(value, dict) and list(value) == ["use"] else value
