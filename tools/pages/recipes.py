"""A page for every recipe: what it is, its size, published figures and ours, and how it differs from its base."""

from __future__ import annotations

import os
from pathlib import Path

from pages import measured
from pages.markdown import code, fence, folded, prose, table
from pages.sizes import Sizes, sizes_of
from pages.usage import all_recipes, parts_of
from zoo import registry
from zoo.recipe import Recipe, recipes
from zoo.recipe.explain import brief
from zoo.recipe.layers import home, locate, read_layers

PROVENANCE = {
    "published": "Settings are those of the released code, so that published checkpoints load.",
    "paper": "Settings are those of the paper's text, where they differ from the released code.",
    "reconstructed": "The paper leaves settings open; those here are inferred.",
    "ours": "Settings are ours.",
}

LABELS = {"gflops": "G multiply-adds an image, as the paper counted", "fid": "FID", "fvd": "FVD",
          "images": "training images"}  # fmt: skip


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    found = all_recipes()
    sizes = {name: sizes_of(recipe) for name, recipe in found.items()}
    written = {f"reference/recipes/{name}.md": page(name, recipe, sizes[name]) for name, recipe in found.items()}
    return {"reference/recipes/index.md": index(found, sizes), **written}


def index(found: dict[str, Recipe], sizes: dict[str, Sizes]) -> str:
    """All recipes in a table."""
    rows = [(f"[{name}]({name}.md)", prose(recipe["title"]), recipe["provenance"], *sizes[name].cells())
            for name, recipe in found.items()]  # fmt: skip
    columns = ["recipe", "title", "settings", "parameters", "multiply-adds"]
    return (f"# Recipes\n\n{len(rows)} recipes come along; `zoo-list recipes` shows them in a terminal, and "
            "`zoo-list --copy NAME mine.yaml` starts one of yours.\n\n" + table(columns, rows) + "\n")  # fmt: skip


def page(name: str, recipe: Recipe, sizes: Sizes) -> str:
    """One recipe."""
    head = [f"# {name}", f"**{prose(recipe['title'])}**" if recipe["title"] else "", prose(recipe["about"])]
    head.append(f"{PROVENANCE[recipe['provenance']]} Its data have the shape `{recipe['shape']}`."
                + (f" Source: {prose(recipe['cite'])}." if recipe["cite"] else ""))  # fmt: skip
    body = [fence(commands(name, recipe), "bash"), "## Figures", figures(name, recipe, sizes)]
    body += ["## The recipe", *difference(name), "## Parts", used(recipe, name)]
    if recipe["ablate"]:
        body += ["## Named ablations", ablations(recipe)]
    body.append(folded("The complete recipe, with every default", fence(recipe.to_yaml(), "text")))
    return "\n\n".join(filter(None, head + body)) + "\n"


def commands(name: str, recipe: Recipe) -> str:
    """How to begin; a recipe without data cannot be trained as it stands."""
    copy = f"zoo-list --copy {name} mine.yaml    # a recipe of your own that builds on it"
    return f"zoo-train {name}\n{copy}" if recipe["data"] else f"{copy}; name your images or latents under data:"


def figures(name: str, recipe: Recipe, sizes: Sizes) -> str:
    """Published beside ours; the rows of a published ablation have a page of their own."""
    published = {str(k): v for k, v in recipe["published"].items() if not isinstance(v, dict)}
    ours = {"parameters": sizes.parameters, "gflops": sizes.paper_gmacs, **measured.figures(recipe)}
    keys = list(dict.fromkeys(["parameters", "gflops", *published, *ours]))
    rows = [(LABELS.get(k, prose(k)), published.get(k, ""), ours.get(k, "")) for k in keys]
    rows.insert(2, ("G multiply-adds an image, all of them", "", sizes.gmacs))
    up = "../" * (2 + name.count("/"))
    pages = " and ".join(f"[Table {n}]({up}paper/table{n}.md)" for n in recipe["published"].get("tables", {}))
    told = f"What the paper found when it left out parts, and what we did: {pages}." if pages else ""
    return "\n\n".join(filter(None, [table(["", "published", "ours"], [r for r in rows if any(r[1:])]), told]))


def difference(name: str) -> list[str]:
    """Its own file, the files below it, and the difference from the recipe that it extends."""
    *bases, own = [(path, path.read_text(encoding="utf-8")) for path in files(name)]
    pieces = [fence(own[1], "yaml", title=shown(own[0]))]
    for other in parents(name):
        rows = [(code(key), code(brief(was)), code(brief(now)))
                for key, was, now in all_recipes()[other].diff(all_recipes()[name])]  # fmt: skip
        pieces += [f"What it changes of [{other}]({os.path.relpath(other, Path(name).parent)}.md):",
                   table(["field", other, name], rows)]  # fmt: skip
    return pieces + [folded(f"Builds on {shown(path)}", fence(text, "text")) for path, text in reversed(bases)]


def files(name: str) -> list[Path]:
    """The files of a recipe, base first."""
    origins = [layer.tree.origin.rpartition(":")[0] for layer in read_layers(locate(name))]
    return [Path(origin) for origin in origins]


def shown(path: Path) -> str:
    """A recipe's file as people know it."""
    path, root = path.resolve(), home().resolve()
    return f"recipes/{path.relative_to(root).as_posix()}" if path.is_relative_to(root) else path.name


def parents(name: str) -> list[str]:
    """Shipped recipes, not bases, that this one extends."""
    stems = [path.resolve().relative_to(home().resolve()).with_suffix("").as_posix() for path in files(name)]
    return [stem for stem in stems if stem in recipes() and stem != name][-1:]


def used(recipe: Recipe, name: str) -> str:
    """Links to the parts."""
    up = "../" * (1 + name.count("/"))
    found: dict[str, list[str]] = {}
    for kind, part in dict.fromkeys(parts_of(recipe)):
        if part != "none" and registry.parts(kind):
            found.setdefault(kind, []).append(f"[`{part}`]({up}parts/{kind}.md#{part})")
    lines = "\n".join(f"- {kind}: {', '.join(links)}" for kind, links in found.items())
    return f'<div class="columns" markdown>\n\n{lines}\n\n</div>'


def ablations(recipe: Recipe) -> str:
    """Names that `zoo-ablate` and `Recipe.ablated` know."""
    rows = [(code(name), "<br>".join(code(f"{k}={brief(v)}") for k, v in patch.items()))
            for name, patch in recipe["ablate"].items()]  # fmt: skip
    return table(["name", "changes"], rows)
