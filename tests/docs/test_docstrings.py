"""Whatever is public says what it is: shapes, units, errors and source."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from blocks import ROOT

import zoo
from zoo import registry

SHAPE = re.compile(r"\([^()]*,[^()]*\)|scalar")
SOURCE = re.compile(r"Source|arXiv|\b\d{4}\.\d{5}\b")
UNITS = {"size": ("pixel",), "height": ("pixel",), "t": ("network time", "[0, 1]"), "steps": ("[0, 1]",)}
"""Parameter -> what a docstring says of it: the words of one of its units."""
STATE_DICTS = {"save_official", "to_official", "family_of", "read_official", "load_official"}
"""Tensors by name, of any shape."""
OURS = {("scan", "axes"), ("scan", "raster"), ("scan", "spiral"), ("conditioning", "default"), ("embed", "table"),
        ("block", "prenorm"), ("time", "uniform"), ("time_grid", "uniform"), ("sampler", "ode"), ("eval", "default"),
        ("autoencoder", "identity"), ("train", "default"), *(("optimizer", n) for n in ("timm", "torch")),
        *(("dataset", n) for n in ("clips", "features", "folder", "latents", "parquet")),
        *(("logger", n) for n in ("csv", "jsonl", "tensorboard", "wandb"))}  # fmt: skip
"""Parts of our own, or of everybody's: there is no paper to name. So with every part called `none`."""


def public(tree: ast.Module) -> list[ast.stmt]:
    """Top-level classes and functions for others."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_") and n.name != "main"]


@cache
def interface() -> list[tuple[str, Callable[..., Any], str]]:
    """(name, function, docstring) of everything on the Python pages, methods too; theirs includes the class's."""
    from pages import python  # type: ignore[import-not-found]

    names = re.findall(r"^::: (\S+)$", "\n".join(python.pages().values()), re.MULTILINE)
    things = [thing for name in sorted(set(names)) for thing in _things(name)]
    found = [(f"{thing.__module__}.{name}", f, doc) for thing in things for name, f, doc in _functions(thing)]
    assert len(found) > 80
    return found


def _things(name: str) -> list[Any]:
    try:
        module = importlib.import_module(name)
    except ImportError:
        place, _, last = name.rpartition(".")
        return [getattr(importlib.import_module(place), last)]
    return [v for k, v in vars(module).items() if k[0] != "_" and getattr(v, "__module__", "") == name]


def _functions(thing: Any) -> Iterator[tuple[str, Callable[..., Any], str]]:
    if inspect.isfunction(thing):
        yield thing.__name__, thing, inspect.getdoc(thing) or ""
    elif inspect.isclass(thing):
        for name, member in vars(thing).items():
            f = getattr(member, "__func__", getattr(member, "fget", member))
            if inspect.isfunction(f) and f.__module__ == thing.__module__ and (name[0] != "_" or name == "__call__"):
                yield f"{thing.__name__}.{name}", f, f"{f.__doc__ or ''}\n{thing.__doc__ or ''}"


def node_of(f: Callable[..., Any]) -> ast.FunctionDef:
    return next(n for n in ast.parse(textwrap.dedent(inspect.getsource(f))).body if isinstance(n, ast.FunctionDef))


def test_every_public_class_and_function_has_a_docstring():
    """Backends of operators are excepted: zoo/ops/dispatch.py states their contract once, for all of them."""
    ops = ROOT / "zoo/ops"
    backends = {f for f in ops.rglob("*.py") if f.parent != ops and f.stem != "__init__"} | {ops / "flops.py"}
    files = set((ROOT / "zoo").rglob("*.py")) - backends
    bare = [f"{file.relative_to(ROOT)}:{node.lineno} {node.name}" for file in files
            for node in public(ast.parse(file.read_text(encoding="utf-8"))) if not ast.get_docstring(node)]  # fmt: skip
    assert not bare, "\n".join(bare)


def test_everything_on_the_python_pages_has_a_docstring_of_its_own():
    assert not [name for name, f, _ in interface() if not f.__doc__]


def test_whatever_takes_or_gives_tensors_says_their_shapes():
    silent = [name for name, f, doc in interface() if f.__name__ not in STATE_DICTS
              and "Tensor" in " ".join(map(str, f.__annotations__.values())) and not SHAPE.search(doc)]  # fmt: skip
    assert not silent, silent


def test_whatever_takes_sizes_or_times_says_their_units():
    silent = [f"{name}: {argument}" for name, f, doc in interface() for argument in f.__annotations__
              if argument in UNITS and not any(unit in doc for unit in UNITS[argument])]  # fmt: skip
    assert not silent, silent


def test_errors_that_a_function_raises_stand_in_its_docstring():
    silent = []
    for name, f, doc in interface():
        raised = {n.exc.func.id for n in ast.walk(node_of(f))
                  if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call) and isinstance(n.exc.func, ast.Name)}
        silent += [f"{name}: {error}" for error in raised if error not in doc]
    assert not silent, silent


@pytest.mark.parametrize("name", sorted(zoo._PLACES))
def test_a_name_of_the_package_says_what_it_is_and_what_it_raises(name):
    thing = getattr(zoo, name)
    doc = inspect.getdoc(thing) or ""
    assert len(doc) > 20, f"zoo.{name}"
    assert not inspect.isfunction(thing) or "Raises" in doc, f"zoo.{name} does not say what it raises"


@pytest.mark.parametrize("op", ["selective_scan", "causal_conv"])
def test_an_operator_says_shapes_results_and_errors(op):
    doc = inspect.getdoc(getattr(importlib.import_module("zoo.ops"), op)) or ""
    assert all(word in doc for word in ("Args:", "Returns:", "Raises:", "(batch, length, channels)"))


def test_every_part_has_a_summary_and_its_shelf_a_contract():
    from pages import shelves  # type: ignore[import-not-found]

    for kind in registry.kinds():
        for part in registry.parts(kind):
            assert part.doc, f"{part.where}: {kind} {part.name}"
            assert not part.doc.startswith("None"), part.where
    assert all(shelves.contract(kind) for kind in registry.BACKBONE_SLOTS)


def test_every_part_names_its_source_or_is_our_own():
    shipped = {(kind, p.name): p for kind in registry.kinds() for p in registry.parts(kind)
               if (ROOT / p.path).resolve().is_relative_to(ROOT / "zoo")}  # fmt: skip
    bare = {key for key, part in shipped.items() if not SOURCE.search(part.declared.doc) and key[1] != "none"}
    assert bare == OURS, f"without a source: {bare - OURS}; has one by now: {OURS - bare}"


def test_every_slot_of_a_backbone_says_what_it_is_given_and_the_shapes():
    from pages import shelves  # type: ignore[import-not-found]

    for kind in set(registry.BACKBONE_SLOTS) - {"init", "scan"}:  # functions of the backbone, and of the grid
        told = shelves.contract(kind)
        assert SHAPE.search(told) and "Given:" in told, kind
    assert "(S,steps)" in shelves.contract("scan")
