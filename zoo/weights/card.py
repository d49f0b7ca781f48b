"""A model card: the README.md beside weights that says what they are and how to use them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from zoo.recipe import Recipe

NAME = "README.md"
OURS = "<!-- written by zoo with the weights; without this line it stays as you write it -->"
PAGE = """\
{ours}

# {title}

{about}

```python
import zoo

backbone = zoo.from_pretrained("{source}")  # recipe and weights, verified; nothing is unpickled
images = zoo.sample("{source}", 4)
```

```bash
zoo-sample {source} -n 64 --out samples
```

| | |
|---|---|
{facts}

`model.safetensors` holds everything: the tensors, the recipe that rebuilds their network (here also as
`recipe.yaml`) and a sha256 over both.
"""


def model_card(backbone: nn.Module, recipe: Recipe, facts: Mapping[str, Any], source: str) -> str:
    """The card as Markdown under the hub's YAML header.

    Args:
        facts: what else is known of the weights, for instance the training step.
        source: what `zoo.from_pretrained` should be given.
    """
    header = yaml.safe_dump(_header(recipe), sort_keys=False)
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _facts(backbone, recipe, facts).items())
    title, about = recipe["title"] or recipe.name, recipe["about"]
    page = PAGE.format(ours=OURS, title=title, about=about, source=source, facts=rows)
    return f"---\n{header}---\n\n" + re.sub(r"\n{3,}", "\n\n", page)


def write_card(folder: Path, text: str) -> None:
    """Write the card, unless one stands there that somebody wrote."""
    if not by_hand(folder / NAME):
        (folder / NAME).write_text(text, encoding="utf-8")


def by_hand(path: Path) -> bool:
    """Whether this is a card that is not ours to replace."""
    return path.exists() and OURS not in path.read_text(encoding="utf-8", errors="replace")


def _header(recipe: Recipe) -> dict[str, Any]:
    mixers = recipe.get("backbone.mixer", [])
    names = sorted({m["use"] for m in (mixers if isinstance(mixers, list) else [mixers])})
    video = len(recipe["shape"]) == 4
    tags = ["diffusion", "zoo", *names, *(["video"] if video else [])]
    reads_text = "text" in recipe.get("backbone.conditioning.embed", {})
    kind = "text-to-" if reads_text else "unconditional-"
    tail = ("video" if video else "image") + ("" if reads_text else "-generation")
    task = {} if video and not reads_text else {"pipeline_tag": kind + tail}  # the hub has no unconditional video
    return {"library_name": "backbone-zoo", "tags": tags, **task}


def _facts(backbone: nn.Module, recipe: Recipe, facts: Mapping[str, Any]) -> dict[str, Any]:
    parameters = sum(p.numel() for p in backbone.parameters())
    known = {
        "recipe": f"{recipe.name}, {recipe.hash}",
        "provenance": recipe["provenance"],
        "paper": recipe["cite"],
        "parameters": f"{parameters:,}",
        "shape": " x ".join(map(str, recipe["shape"])),
        "process": recipe.get("process.use"),
        "published": recipe["published"],
        **facts,
        "classes": ", ".join(f"{len(names)} of {label}" for label, names in facts.get("classes", {}).items()),
    }
    return {name: value for name, value in known.items() if value not in ("", None, {}, [])}


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", r"\|").replace("\n", " ")
