"""`zoo-data check`: look at every image or clip before training does."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXAMPLES = """\
examples:
  zoo-data check pictures/                     a folder, zip, parquet file, or folder of latents
  zoo-data check dim_s_cifar                   the data of a recipe, at its size; clips too
  zoo-data check my.yaml data.path=other.zip

The exit code is 1 if something cannot be read.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of zoo-data check."""
    p = argparse.ArgumentParser("zoo-data check", description="Sizes, classes and bad files of a set of images.",
                                epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", help="folder, zip, parquet, latents; or a recipe")
    p.add_argument("settings", nargs="*", metavar="key=value", help="settings of the recipe, dotted")
    p.add_argument("--workers", type=int, default=4, metavar="N", help="threads (default 4)")
    return p


def check(argv: Sequence[str]) -> int:
    """Print what there is; 1 if something is bad. Raises: ZooError."""
    args = parser().parse_intermixed_args(argv)
    from zoo.builder import factory, section
    from zoo.data.check import check_pictures
    from zoo.errors import RecipeError
    from zoo.recipe import load_recipe

    node, size = node_of_path(Path(args.source)), None
    if node is None:
        recipe = load_recipe(args.source, args.settings)
        if recipe.get("data", None) is None:
            raise RecipeError("this recipe names no data", where=recipe.name, fix="set data=")
        node, make, size = recipe["data"], section(recipe, "data"), size_of(recipe)
    else:
        make = factory("dataset", node)
    if node["use"] == "latents":
        return _check_latents(Path(node["path"]).expanduser())
    bad = 0
    for split in ("train", "val"):
        found = check_pictures(make(size or (1, 1), split), args.workers)
        if found.count:
            print(f"{split}:", *found.lines(size and size[-2:]), sep="\n  ")
        bad += len(found.bad)
    return 1 if bad else 0


def node_of_path(path: Path) -> dict[str, Any] | None:
    """The data section for a path; None for what is not data, a recipe for instance."""
    if path.suffix == ".yaml" or (path / "recipe.yaml").exists() or not path.exists():
        return None
    if (path / "index.json").exists():
        return {"use": "latents", "path": str(path)}
    if path.suffix == ".parquet" or (path.is_dir() and any(path.rglob("*.parquet"))):
        return {"use": "parquet", "path": str(path)}
    return {"use": "folder", "path": str(path)}


def size_of(recipe: Any) -> tuple[int, ...]:
    """(height, width) in pixels of the images of a recipe, (frames, height, width) of its clips."""
    from zoo.builder import section

    *frames, _, height, width = recipe["shape"]
    factor = section(recipe, "autoencoder")().factor
    return (*frames, height * factor, width * factor)


def _check_latents(folder: Path) -> int:
    from zoo.data.latent_files import read_index, things, verify

    index = read_index(folder)
    wrong = verify(folder, index)
    size, classes = "x".join(map(str, index["size"])), {k: len(v) for k, v in index["classes"].items()}
    print(f"{index['images']:,} {things(index)} of {size} as {index['kind']} moments {index['shape']}, "
          f"by {index['autoencoder'].get('use')} {index['autoencoder'].get('path', '')}, classes {classes or 'none'}")
    print(*(f"bad: {line}" for line in wrong), sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0
