"""Drawings of parts, several in a row."""

from __future__ import annotations

import os
from pathlib import Path

from zoo import registry

DRAWN = Path(__file__).parents[2] / "docs/parts"


def gallery(kind: str, page: str) -> str:
    """Every drawn part of a shelf with its name below, for the page at `page`; nothing if none is drawn."""
    up = os.path.relpath(".", Path(page).parent)
    names = [part.name for part in registry.parts(kind) if (DRAWN / kind / f"{part.name}.svg").exists()]
    shelf = f"{up}/reference/parts/{kind}.md"
    items = [f"- [![{kind} {name}]({up}/parts/{kind}/{name}.svg)<br>{name}]({shelf}#{name})" for name in names]
    return '<div class="gallery" markdown>\n\n' + "\n".join(items) + "\n\n</div>" if items else ""
