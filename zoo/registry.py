"""(kind, name) -> part. Shelves are read by their source, so that listing and checking import nothing.

A part is a class or a function under `@register(kind, name)`. It may live in this package, in a
file that a recipe names under `plugins:`, in an installed package that has an entry point in the
group `zoo.parts`, or in the running program; each is found in the same way and has the same rights.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from zoo.errors import PartError
from zoo.signature import Declaration, Field, declarations

T = TypeVar("T")
Make = Callable[..., T] | Any  # Any: its default is the name of a part
"""A field that holds a part: what arrives is a factory, to be called with what the owner gives."""

PACKAGE = Path(__file__).resolve().parent
BACKBONE_SLOTS = (
    "patch", "embed", "position", "enhancer", "padding", "scan", "mixer", "cross", "feedforward",
    "norm", "modulation", "skip", "block", "head", "init",
)  # fmt: skip
SHELVES = {
    "backbone": "backbones",
    "conditioning": "parts/conditioning.py",
    **{kind: f"parts/{kind}" for kind in BACKBONE_SLOTS},
    **{kind: f"diffusion/{kind}" for kind in ("process", "loss", "time", "sampler", "time_grid", "guidance")},
    "autoencoder": "autoencoders",
    "dataset": "data/source",
    "train": "train/settings.py",
    "optimizer": "train/optimizer",
    "logger": "loggers",
    "eval": "eval/settings.py",
    "metric": "eval/metric",
    "extractor": "eval/extractor",
}
"""Where each kind of part lives in this package: a folder with a file a part, or a single file."""


@dataclass(frozen=True)
class Part:
    """One registered class or function; `load()` imports it."""

    kind: str
    name: str
    path: str
    declared: Declaration
    module: str = ""
    live: Any = None

    @property
    def where(self) -> str:
        return f"{self.path}:{self.declared.line}"

    @property
    def doc(self) -> str:
        return self.declared.summary

    @property
    def fields(self) -> dict[str, Field]:
        return {f.name: f for f in self.declared.fields}

    def load(self) -> Any:
        """The class or function itself; its module is imported on the first call."""
        if self.live is not None:
            return self.live
        return getattr(_import(self.module, self.path), self.declared.qualname)


_catalog: dict[str, dict[str, Part]] = {}
_aliases: dict[tuple[str, str], str] = {}
_scanned: set[str] = set()
problems: list[str] = []
"""Plug-ins that could not be read, and why; they never stop the others."""


def register(kind: str, name: str, *, aliases: tuple[str, ...] = ()) -> Callable[[T], T]:
    """Enter the decorated class or function as the part `name` of `kind`.

    Raises: PartError if the kind does not exist or the name is taken.
    """
    _known(kind)
    path = sys._getframe(1).f_code.co_filename  # also right for a notebook's cell
    path = str(Path(path).resolve()) if Path(path).is_file() else path

    def enter(thing: T) -> T:
        if path not in _scanned:
            _add_live(kind, name, thing, path)
        return thing

    return enter


def find(kind: str, name: str, where: str | None = None) -> Part:
    """The part called `name`, or a PartError with the nearest name and all the names there are."""
    for read_more in (_known, partial(_own_file, name=name), _shelf):  # the next only if the part is not found yet
        read_more(kind)
        if part := _catalog.get(kind, {}).get(_aliases.get((kind, name), name)):
            return part
    shelf = _catalog[kind]
    hints = f"plug-ins that failed: {'; '.join(problems)}" if problems else None
    raise PartError(f"unknown {kind} {name!r}", where=where, allowed=sorted(shelf), given=name, fix=hints)


def parts(kind: str) -> list[Part]:
    """Every part of a kind, by name; `part.name`, `part.doc`, `part.fields`, `part.load()`."""
    return [part for _, part in sorted(_shelf(_known(kind)).items())]


def kinds() -> list[str]:
    """Every kind of part."""
    return list(SHELVES)


def add_plugin(path: Path) -> None:
    """Read the parts in a Python file, or in every file of a folder, of the user's.

    Raises: PartError if it is missing, cannot be read, takes a taken name or registers nothing.
    """
    if not path.exists():
        raise PartError(f"no such plug-in: {path}", fix="give a .py file or a folder, relative to the recipe")
    _scan_all([(file.resolve(), "") for file in (sorted(path.rglob("*.py")) if path.is_dir() else [path])], str(path))


def _known(kind: str, where: str | None = None) -> str:
    if kind not in SHELVES:
        raise PartError(f"unknown kind of part {kind!r}", where=where, allowed=sorted(SHELVES), given=kind)
    return kind


def _shelf(kind: str) -> dict[str, Part]:
    _own_shelf(kind)
    _installed_plugins()
    return _catalog.setdefault(kind, {})


def _own_file(kind: str, name: str) -> None:
    """Read the file that is named like the part, so that a recipe costs no more than the parts it uses."""
    place = PACKAGE / SHELVES[kind]
    file = place if place.suffix else place / f"{name}.py"
    if name.isidentifier() and len(name) < 100 and file.is_file():
        _scan(file, _module_of(file))


def _module_of(file: Path) -> str:
    return ".".join(("zoo", *file.relative_to(PACKAGE).with_suffix("").parts))


def _own_shelf(kind: str) -> None:
    """Read this package's parts of a kind; they come first, so that a plug-in cannot take their names."""
    if f"shelf {kind}" in _scanned:
        return
    place = PACKAGE / SHELVES[kind]
    for file in sorted(place.glob("*.py")) if place.is_dir() else [place]:
        if file.name != "__init__.py" and file.exists():
            _scan(file, _module_of(file))
    _scanned.add(f"shelf {kind}")


@cache
def _installed_plugins() -> None:
    from importlib.metadata import entry_points  # slow, and seldom needed

    for entry in entry_points(group="zoo.parts"):
        try:
            _scan_all([(file.resolve(), module) for file, module in _module_files(entry.value)], entry.value)
        except Exception as error:  # a broken plug-in is reported, never fatal for the others
            problems.append(f"{entry.name} ({entry.value}): {error}")


def _scan_all(files: list[tuple[Path, str]], origin: str) -> None:
    """Read every file even if one is broken, then raise the first mistake."""
    mistakes = []
    for file, module in files:
        try:
            _scan(file, module)
        except PartError as error:
            mistakes.append(error)
    if mistakes:
        raise mistakes[0]
    paths = {str(file) for file, _ in files}
    if not any(part.path in paths for shelf in _catalog.values() for part in shelf.values()):
        raise PartError(f"{origin} registers no part", fix="put @register(kind, name) above a class or function")


def _module_files(dotted: str) -> Iterator[tuple[Path, str]]:
    """The files of a module or package, found without importing it."""
    root, *rest = dotted.partition(":")[0].split(".")
    spec = importlib.util.find_spec(root)
    if spec is None or spec.origin is None:
        raise PartError(f"module {root!r} is not installed")
    if not spec.submodule_search_locations:
        yield Path(spec.origin), dotted
        return
    base = Path(spec.submodule_search_locations[0])
    place = base.joinpath(*rest)
    if place.with_suffix(".py").exists():
        yield place.with_suffix(".py"), dotted
        return
    for file in sorted(place.rglob("*.py")):
        names = file.relative_to(base).with_suffix("").parts
        yield file, ".".join((root, *(n for n in names if n != "__init__")))


def _scan(file: Path, module: str) -> None:
    if str(file) in _scanned:
        return
    _scanned.add(str(file))
    try:
        for declared in declarations(file):
            _known(declared.kind, f"{file}:{declared.line}")
            if not file.is_relative_to(PACKAGE):
                _own_shelf(declared.kind)
            _enter(Part(declared.kind, declared.name, str(file), declared, module))
    except PartError:
        _scanned.discard(str(file))  # mended, it may be read again
        raise


def _enter(part: Part) -> None:
    shelf = _catalog.setdefault(part.kind, {})
    for name in (part.name, *part.declared.aliases):
        other = shelf.get(_aliases.get((part.kind, name), name))
        if other and not _same(part, other):
            raise PartError(f"two parts are called {part.kind} {name!r}", where=part.where,
                            fix=f"rename one; the other is {other.where}")
    shelf[part.name] = part
    _aliases.update({(part.kind, alias): part.name for alias in part.declared.aliases})


def _same(part: Part, other: Part) -> bool:
    """Whether `part` is `other` read again, or a notebook's cell run again."""
    rerun = part.live is not None and other.live is not None and not Path(other.path).is_file()
    return rerun or (other.path, other.declared.qualname) == (part.path, part.declared.qualname)


def _add_live(kind: str, name: str, thing: Any, path: str) -> None:
    """A part of the running program (a script or a notebook)."""
    source = "".join(linecache.getlines(path))
    for declared in declarations(Path(path), source):
        if (declared.kind, declared.name, declared.qualname) == (kind, name, getattr(thing, "__name__", None)):
            _shelf(kind)
            _enter(Part(kind, name, path, declared, live=thing))
            return
    raise PartError(f"the source of {kind} {name!r} cannot be read", where=path,
                    fix="put the part at the top level of a .py file")


@cache
def _import(module: str, path: str) -> Any:
    if module.startswith("zoo."):
        return importlib.import_module(module)
    try:
        return importlib.import_module(module) if module else _import_file(path)
    except Exception as error:
        raise PartError(f"this plug-in fails when it is imported: {error!r}", where=path) from error


def _import_file(path: str) -> Any:
    name = f"zoo_plugin_{Path(path).stem}_{abs(hash(path)):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = loaded = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded
