"""Our own figures, from the JSON files under docs/results/: what zoo-eval and zoo-bench write, as they write it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from zoo.bench.results import quoted
from zoo.recipe import Recipe

RESULTS = Path(__file__).parents[2] / "docs/results"


def figures(recipe: Recipe) -> dict[str, str]:
    """What was measured -> figure. An eval.json belongs to the recipe whose hash its protocol has, speed to a name."""
    found: dict[str, str] = {}
    for result in _results():
        found.update(_quality(result, recipe.hash))
        found.update(_speed(result, recipe.name))
    return found


def _quality(result: dict[str, Any], digest: str) -> dict[str, str]:
    protocol = result.get("protocol", {})
    if "metrics" not in result or protocol.get("model", {}).get("recipe") != digest:
        return {}
    of = f", {protocol['count']:,} images"
    return {name + of: f"{value:,.4g}" for name, value in result["metrics"].items() if value is not None}


def _speed(result: dict[str, Any], name: str) -> dict[str, str]:
    """The fastest way of training the recipe as it is."""
    if result.get("kind") != "train":
        return {}
    plain = {c["label"] for c in result["contestants"] if c["recipe"] == name and not c["settings"]}
    updates = [u for u in result["updates"] if u["contestant"] in plain]
    if not updates:
        return {}
    best = max(updates, key=lambda update: update["images_per_s"])
    how = f"{best['form']}, batch {best['batch']}, {best['precision']}, one {result['machine']['device']}"
    return {f"training images a second: {how}": f"{best['images_per_s']:,.0f}"}


def crossover(file: str, ours: str, other: str, pixels: str) -> str:
    """Two sentences on a benchmark of steps: times of two networks and of released code, and who wins where."""
    result, size = json.loads((RESULTS / file).read_text(encoding="utf-8")), int(pixels)
    form, device = result["main_form"], result["machine"]["device"]
    ms = {p["contestant"]: p["forms"][form]["ms"] for p in result["points"] if p["at"] == size}
    count = next(p["parameters"] for p in result["points"] if p["contestant"] == ours)
    at = next(c["at"] for c in result["crossovers"] if (c["first"], c["other"], c["form"]) == (ours, other, form))
    released = quoted()["step"]
    published = released["lines"][f"{ours}, released code"]["ms"][released["resolution"].index(size)]
    return (
        f"On one {device}, {ours} with {count / 1e6:,.0f} M parameters takes {ms[ours]:.0f} ms a step at {size} px, "
        f"where its released code takes {published:.0f} ms and a U-ViT of that size {ms[other]:.0f} ms. "
        f"It is the faster one from about {round(at, -1):,.0f} px."
    )


@cache
def _results() -> list[dict[str, Any]]:
    files = sorted(RESULTS.rglob("*.json")) if RESULTS.is_dir() else []
    read = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [result for result in read if isinstance(result, dict)]
