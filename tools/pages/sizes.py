"""Parameters and multiply-adds of recipes, counted once and kept in .cache/ until the code or the recipe changes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zoo.recipe import Recipe

ROOT = Path(__file__).parents[2]
STORE = ROOT / ".cache/docs-sizes.json"
COUNTED_BY = ("backbones", "parts", "ops/flops.py", "diffusion/process", "builder.py", "grid.py")


@dataclass(frozen=True)
class Sizes:
    """Of one image; empty where ZOO_DOCS_SIZES leaves the recipe out."""

    parameters: str = ""
    gmacs: str = ""
    paper_gmacs: str = ""

    def cells(self) -> tuple[str, str]:
        """For a table."""
        return self.parameters, f"{self.gmacs} G" if self.gmacs else ""


def sizes_of(recipe: Recipe) -> Sizes:
    """Exact sizes. The variable ZOO_DOCS_SIZES, names with commas, restricts counting to those recipes."""
    only = os.environ.get("ZOO_DOCS_SIZES")
    if only is not None and recipe.name not in only.split(","):
        return Sizes()
    key = f"{recipe.digest}-{code_digest()}"
    store = json.loads(STORE.read_text()) if STORE.exists() else {}
    if key not in store:
        store[key] = _count(recipe)
        STORE.parent.mkdir(exist_ok=True)
        STORE.write_text(json.dumps(store, indent=1))
    return Sizes(*store[key])


def _count(recipe: Recipe) -> list[str]:
    from zoo.builder import summary  # imports torch

    found = summary(recipe)
    giga = ["" if found[k] is None else f"{int(found[k] or 0) / 1e9:,.2f}" for k in ("macs", "paper_macs")]
    return [f"{found['parameters']:,}", *giga]


@cache
def code_digest() -> str:
    """Of everything that the counts depend on."""
    total = hashlib.sha256()
    for place in (ROOT / "zoo" / name for name in COUNTED_BY):
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            total.update(file.read_bytes())
    return total.hexdigest()[:16]
