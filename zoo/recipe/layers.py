"""Which files make up a recipe: finding it, following `extends`, reading its plug-ins."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from zoo import registry
from zoo.errors import PartError, RecipeError
from zoo.recipe.merge import patches
from zoo.recipe.node import Node
from zoo.recipe.slots import lay
from zoo.recipe.yaml import MAX_BYTES, parse

SUFFIXES = (".yaml", ".yml")


def recipes() -> list[str]:
    """The names of the recipes that come with the zoo, for instance "dim_s_cifar"."""
    root = home()
    found = (f.relative_to(root).with_suffix("") for f in root.rglob("*.yaml"))
    return sorted(name.as_posix() for name in found if not any(step.startswith("_") for step in name.parts))


def home() -> Path:
    """The folder of the shipped recipes: inside an installed package, beside it in a checkout."""
    inside = registry.PACKAGE / "recipes"
    return inside if inside.is_dir() else registry.PACKAGE.parent / "recipes"


def locate(name: str | Path) -> Path:
    """The file of a recipe: a path, a run folder, or the name of a shipped recipe.

    Raises: RecipeError with the nearest name.
    """
    shipped = str(name).removeprefix("recipes/")
    try:
        return next(p for p in (*_spellings(Path(), str(name)), *_spellings(home(), shipped)) if p.is_file())
    except (StopIteration, OSError, ValueError):  # also a text that can be no path
        pass
    if Path(name).suffix in SUFFIXES:
        raise RecipeError(f"there is no recipe file {str(name)!r}", fix="zoo-list recipes shows those that come along")
    raise RecipeError(f"there is no recipe {str(name)!r}", allowed=recipes(), given=name,
                      fix="give a name, a path or a run folder; zoo-list recipes shows the names")


def _spellings(folder: Path, name: str) -> list[Path]:
    path = folder / name
    return [path, path.with_name(path.name + ".yaml") if path.name else path, path / "recipe.yaml"]


@dataclass(frozen=True)
class Layer:
    """One file: its own keys, and its plug-ins with their absolute paths."""

    tree: Node
    plugins: tuple[Node, ...]


def read_layers(path: Path) -> list[Layer]:
    """The file and everything it extends, base first; a file reached twice counts once."""
    found: dict[Path, Layer] = {}
    _visit(path, (), found, None)
    return list(found.values())


def _visit(path: Path, trail: tuple[Path, ...], found: dict[Path, Layer], cause: Node | None) -> None:
    real = path.resolve()
    if real in trail:
        circle = " -> ".join(p.name for p in (*trail[trail.index(real):], real))
        raise RecipeError(f"these recipes extend each other: {circle}", where=cause.origin if cause else None)
    if real in found:
        return
    tree = _read(path, cause)
    bases, layer = split(tree, real.parent)
    for base in bases:
        _visit(_base_file(base, real), (*trail, real), found, base)
    found[real] = layer


def _read(path: Path, cause: Node | None) -> Node:
    shown = os.path.relpath(path)
    shown = str(path) if shown.startswith("..") else shown
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RecipeError(f"larger than {MAX_BYTES} bytes", where=shown)
        return parse(path.read_bytes(), shown)
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read the recipe {shown!r}: {error}", where=cause.origin if cause else None) from None


def split(tree: Node, folder: Path) -> tuple[list[Node], Layer]:
    """What a file extends, and the layer that remains of it."""
    keys = dict(tree.value)
    bases = list(_texts(keys.pop("extends", None), "extends"))
    plugins = [Node(str((folder / n.value).resolve()), n.origin) for n in _texts(keys.pop("plugins", None), "plugins")]
    return bases, Layer(Node(keys, tree.origin), tuple(plugins))


def _texts(node: Node | None, key: str) -> Iterator[Node]:
    """The paths under `extends` or `plugins`: one or a list."""
    if node is None or node.value is None:
        return
    for item in node.value if isinstance(node.value, list) else [node]:
        if not isinstance(item.value, str) or not item.value.strip() or "\0" in item.value:
            raise RecipeError(f"{key}: expected a path or a list of paths", where=item.origin)
        if "://" in item.value:
            raise RecipeError(f"{key}: {item.value!r} is an address, not a file", where=item.origin,
                              fix="download it, look at it, and name the file")
        yield item


def _base_file(base: Node, child: Path) -> Path:
    """The file that `extends` means: beside the child, else a shipped recipe."""
    choices = [*_spellings(child.parent, base.value)[:2], *_spellings(home(), base.value)[:2]]
    files = [path for path in choices if path.is_file()]
    others = [path for path in files if path.resolve() != child]  # my.yaml may extend the shipped `my`
    if files:
        return (others or files)[0]
    raise RecipeError(f"extends: there is no recipe {base.value!r}", where=base.origin, allowed=recipes(),
                      given=base.value, fix=f"paths are relative to {child.parent}")


def stack(layers: list[Layer]) -> Node:
    """All layers as one tree, later over earlier, with their plug-ins read."""
    plugins = {node.value: node for layer in layers for node in layer.plugins}
    load_plugins(plugins.values())
    tree = reduce(lay, (layer.tree for layer in layers), Node({}, layers[-1].tree.origin))
    return with_plugins(tree, list(plugins.values()))


def with_plugins(tree: Node, plugins: list[Node]) -> Node:
    """The tree with its list of plug-ins, if there are any."""
    return Node({**tree.value, "plugins": Node(plugins, plugins[0].origin)}, tree.origin) if plugins else tree


def lay_overrides(tree: Node, overrides: Sequence[str] | Mapping[str, Any], origin: str) -> Node:
    """Overrides over a tree, one after the other; their plug-ins are relative to the current folder."""
    for _, patch in patches(overrides, origin):
        bases, layer = split(patch, Path.cwd())
        if bases:
            raise RecipeError("extends: stands in a recipe, not in an override", where=origin)
        load_plugins(layer.plugins)
        known = tree.value["plugins"].value if "plugins" in tree.value else []
        tree = with_plugins(lay(tree, layer.tree), [*known, *layer.plugins])
    return tree


def load_plugins(plugins: Iterable[Node]) -> None:
    """Read the parts of each file. Raises: PartError with the place that asked for it."""
    for node in plugins:
        try:
            registry.add_plugin(Path(node.value))
        except PartError as error:
            raise RecipeError(f"plugins: {error}", where=node.origin) from None
