"""`index.html` of a run folder: curve, strip, grids. It opens without a server."""

from __future__ import annotations

import html
from pathlib import Path

from zoo.loggers.protocol import Record
from zoo.recipe import Recipe
from zoo.train.curve import draw_curve

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #3c4048 }}
img {{ max-width: 100%; display: block }}
.pixels {{ image-rendering: pixelated; min-width: 24rem }}
.strip {{ min-width: 100% }}
table {{ border-collapse: collapse }} td {{ padding: .1rem 1.2rem .1rem 0; font-variant-numeric: tabular-nums }}
figure {{ margin: 1.5rem 0 }} figcaption {{ color: #777 }}
pre {{ overflow-x: auto; background: #f5f6f8; padding: 1rem; font-size: 13px }}
</style>
<h1>{title}</h1>
<p>recipe <code>{name}</code>, hash <code>{hash}</code></p>
<table>{rows}</table>
{pictures}
<details><summary>recipe.yaml</summary><pre>{recipe}</pre></details>
</html>
"""
FIGURE = """<figure>
<a href="{src}"><img class="{style}" src="{src}" alt="{caption}"></a>
<figcaption>{caption}</figcaption>
</figure>"""


def write_page(folder: Path, recipe: Recipe, history: list[Record], shown: int = 6) -> None:
    """Draw `loss.png` and write the page with it, the strip, and the newest grids."""
    title = recipe.get("title", "") or recipe.name
    draw_curve(history, folder / "loss.png", title)
    grids = sorted((folder / "samples").glob("step-*.png"), reverse=True)[:shown]
    wanted = [("loss.png", "loss", ""), ("samples/strip.png", "the same images over time", "pixels strip"),
              *((f"samples/{_moving(g).name}", f"step {int(g.stem[5:]):,}", "pixels") for g in grids)]  # fmt: skip
    pictures = [FIGURE.format(src=src, caption=caption, style=style) for src, caption, style in wanted
                if (folder / src).exists()]  # fmt: skip
    latest: Record = {}
    for record in history:
        latest.update(record)
    rows = "".join(f"<tr><td>{html.escape(k)}</td><td>{v:,.6g}</td></tr>" for k, v in latest.items())
    text = PAGE.format(name=html.escape(recipe.name), title=html.escape(title), hash=recipe.hash, rows=rows,
                       pictures="\n".join(pictures), recipe=html.escape(recipe.to_yaml()))  # fmt: skip
    (folder / "index.html").write_text(text, encoding="utf-8")


def _moving(grid: Path) -> Path:
    """The same in motion, if the samples are videos."""
    return gif if (gif := grid.with_suffix(".gif")).exists() else grid
