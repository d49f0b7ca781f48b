"""Drawings of parts, several in a row."""

from __future__ import annotations

import os
from pathlib import Path

from zoo import registry

DRAWN = Path(__file__).parents[2] / "docs/parts"


def gallery(kind: str, page: str) -> str:
    """Every drawn part of a shelf with its name below, for the page at `page`; nothing if none is drawn."""
    up = os.path.relpath(".", Path(page).parent)
    drawn = [part for part in registry.parts(kind) if (DRAWN / kind / f"{part.name}.svg").exists()]
    items = [f"- [![{kind} {p.name}]({up}/parts/{kind}/{p.name}.svg)<br>{p.name}]({up}/reference/parts/{kind}.md#{p.name})"
             for p in drawn]  # fmt: skip
    return '<div class="gallery" markdown>\n\n' + "\n".join(items) + "\n\n</div>" if items else ""
