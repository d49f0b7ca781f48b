"""Rows with as many parameters as the full recipe: the width makes up for what a change took away."""

from __future__ import annotations

import math
from dataclasses import replace

from zoo.ablate.rows import Row
from zoo.builder import summary
from zoo.errors import RecipeError

WIDTH, GRAIN = "backbone.width", 8


def matched(rows: list[Row]) -> list[Row]:
    """The rows, each but the first as wide as brings its parameters nearest to the first's.

    Widths are multiples of 8 and of every number of heads. Rows must have been counted.

    Raises: RecipeError if the backbone has no width.
    """
    if rows[0].recipe.get(WIDTH, None) is None:
        raise RecipeError("this backbone has no width to change", where="--match-params")
    return [rows[0], *(_match(row, rows[0].counts["parameters"] or 0) for row in rows[1:])]


def _match(row: Row, wanted: int) -> Row:
    width, found = row.recipe.get(WIDTH), row.counts
    grain = math.lcm(GRAIN, *_heads(row.recipe.tree["backbone"]))
    best = (abs((found["parameters"] or 0) - wanted), width, row.recipe, found)
    step = grain if (found["parameters"] or 0) < wanted else -grain
    trial = width - width % grain + (grain if step > 0 else 0 if width % grain else -grain)
    while trial >= grain:
        recipe = row.recipe.override({WIDTH: trial}, "--match-params")
        found = summary(recipe)
        distance = abs((found["parameters"] or 0) - wanted)
        if distance >= best[0]:
            break
        best = (distance, trial, recipe, found)
        trial += step
    _, chosen, recipe, found = best
    note = f"width {width} -> {chosen}" if chosen != width else ""
    return replace(row, recipe=recipe, counts=found, note=note)


def _heads(node: object) -> list[int]:
    """Every `heads` in a tree."""
    if isinstance(node, list):
        return [h for child in node for h in _heads(child)]
    if not isinstance(node, dict):
        return []
    own = [node["heads"]] if isinstance(node.get("heads"), int) else []
    return own + [h for child in node.values() for h in _heads(child)]
