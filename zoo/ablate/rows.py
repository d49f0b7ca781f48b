"""The rows of a study: one recipe each, alike in everything but what they change."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from zoo.ablate.changes import FULL, Change
from zoo.errors import RecipeError, ZooError
from zoo.recipe import Recipe
from zoo.recipe.explain import brief
from zoo.recipe.identity import canonical
from zoo.train.settings import FREE

POINTS = 20
"""Validations a run, for the curves."""
@dataclass(frozen=True)
class Row:
    """One line of the table: a name, the recipe, the published figure, and what it changed."""

    label: str
    recipe: Recipe
    published: float | None = None
    counts: Mapping[str, int | None] = field(default_factory=dict)  # from zoo.builder.summary
    note: str = ""

    def seeded(self, k: int) -> Recipe:
        """The recipe of the k-th training seed."""
        return self.recipe.override({"train.seed": self.recipe.get("train.seed") + k}, "seed of the study")

    def against(self, base: Recipe) -> list[str]:
        """What differs from the full recipe, a line each."""
        return [f"{key}: {_short(was)} -> {_short(now)}" for key, was, now in base.diff(self.recipe)]


def rows_of(base: Recipe, changes: Sequence[Change], figures: Mapping[str, float] | None = None) -> list[Row]:
    """The full recipe, then a row a change; a change that changes nothing renames the full row.

    Raises: RecipeError if two rows have one name, or a change does not fit.
    """
    figures = {**published(base), **(figures or {})}
    rows = [Row(FULL, base, figures.get(FULL))]
    for change in changes:
        if change.label in [row.label for row in rows]:
            raise RecipeError(f"two rows are called {change.label!r}", fix="give each change once")
        rows.append(Row(change.label, change.over(base), figures.get(change.label)))
    return rows


def published(recipe: Recipe) -> dict[str, float]:
    """The figures that the recipe knows from its paper's tables, by row."""
    tables = recipe.get("published.tables", {})
    return {label: value for figures in tables.values() for label, value in figures.items()}


def prepared(recipe: Recipe, max_images: int = 0) -> Recipe:
    """The recipe as every row of a study trains it: no time limit, no previews, `POINTS` validations.

    Args:
        max_images: images a row sees at most; warm-up and the memory of averages shrink in proportion.

    Raises: RecipeError if that is less than one batch.
    """
    train = recipe["train"]
    steps, settings = train["steps"], {}
    if max_images:
        if max_images < train["batch"]:
            raise RecipeError(f"{max_images} images are less than a batch of {train['batch']}", where="--max-images",
                              fix="ask for more, or set a smaller train.batch")
        steps = min(steps, max_images // train["batch"])
        settings = shortened(train, steps)
    steps = max(steps, 1)
    settings |= {
        "train.max_minutes": 0.0, "train.preview_every": 0, "train.keep": 1,
        "train.val_every": math.ceil(steps / POINTS),
        "train.log_every": min(train["log_every"], math.ceil(steps / POINTS)),
        "train.save_every": min(train["save_every"] or steps, math.ceil(steps / 5)),
        "train.loggers": ["jsonl", "csv"],
    }  # fmt: skip
    return recipe.override(settings, "zoo-ablate")


def shortened(train: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Settings that let a run of fewer steps be the long run in small."""
    if steps >= train["steps"]:
        return {}
    part = steps / train["steps"]
    averages = [round(max(1 - (1 - decay) / part, 0.0), 9) for decay in train["ema"]]
    return {"train.steps": steps, "train.warmup": math.ceil(train["warmup"] * part), "train.ema": averages}


def training_key(recipe: Recipe) -> str:
    """16 digits that are equal for recipes that train the same weights, whatever they draw or show."""
    tree = recipe.tree
    for key in FREE:
        section, _, name = key.partition(".")
        if name and key != "train.steps":
            tree[section].pop(name, None)
        elif not name:
            tree.pop(section, None)
    return hashlib.sha256(canonical(tree).encode()).hexdigest()[:16]


def score_key(recipe: Recipe, protocol: Mapping[str, Any]) -> str:
    """16 digits that are equal for results that need not be computed twice."""
    text = json.dumps([recipe.digest, protocol], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def counted(rows: Sequence[Row], *, forgiving: bool = False) -> tuple[list[Row], list[str]]:
    """Rows with parameters and multiply-adds, and why rows were left out.

    Args:
        forgiving: leave out a row that cannot be built, instead of raising.

    Raises: ZooError for the first row that cannot be built.
    """
    from zoo.builder import summary

    kept, left_out = [], []
    for row in rows:
        try:
            fits(row.recipe)
            kept.append(replace(row, counts=summary(row.recipe)))
        except ZooError as error:
            if not forgiving:
                raise
            left_out.append(f"{row.label}: {str(error).splitlines()[0]}")
    return kept, left_out


def fits(recipe: Recipe) -> None:
    """Raises: ZooError if process, loss, sampler and guidance do not go together."""
    from zoo.builder import build_process, section

    process, guidance = build_process(recipe), section(recipe, "guidance")()
    section(recipe, "loss")().check(process)
    section(recipe, "sampler")().check(process, guidance)


def _short(value: Any) -> str:
    """A part by its name, if its fields are not what changed."""
    return str(value["use"]) if isinstance(value, dict) and "use" in value else brief(value)
