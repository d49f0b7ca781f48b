"""Our own figures, from the JSON files under docs/results/."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs/results"


def figures(recipe: str) -> dict[str, str]:
    """Metric -> figure, from every result that says which recipe it measured."""
    found: dict[str, str] = {}
    for result in _results():
        if result.get("recipe") == recipe:
            values = result.get("metrics", {})
            found.update({k: f"{v:,.4g}" for k, v in values.items() if isinstance(v, (int, float))})
    return found


@cache
def _results() -> list[dict[str, Any]]:
    files = sorted(RESULTS.rglob("*.json")) if RESULTS.is_dir() else []
    read = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [result for result in read if isinstance(result, dict)]
