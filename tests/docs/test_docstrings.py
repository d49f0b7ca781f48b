"""Whatever is public says what it is."""

from __future__ import annotations

import ast
import importlib
import inspect

import pytest
from blocks import ROOT

import zoo
from zoo import registry


def public(tree: ast.Module) -> list[ast.stmt]:
    """Top-level classes and functions for others."""
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [n for n in tree.body if isinstance(n, kinds) and not n.name.startswith("_") and n.name != "main"]


def test_every_public_class_and_function_has_a_docstring():
    """Backends of operators are excepted: zoo/ops/dispatch.py states their contract once, for all of them."""
    ops = ROOT / "zoo/ops"
    backends = {f for f in ops.rglob("*.py") if f.parent != ops and f.stem != "__init__"} | {ops / "flops.py"}
    files = set((ROOT / "zoo").rglob("*.py")) - backends
    bare = [f"{file.relative_to(ROOT)}:{node.lineno} {node.name}" for file in files
            for node in public(ast.parse(file.read_text(encoding="utf-8"))) if not ast.get_docstring(node)]  # fmt: skip
    assert not bare, "\n".join(bare)


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


def test_backbone_parts_that_come_from_a_paper_name_it():
    """Every backbone shelf has parts with a source; parts of our own and `none` have nothing to cite."""
    for kind in set(registry.BACKBONE_SLOTS) - {"norm", "feedforward", "cross", "block", "init"}:
        cited = [p for p in registry.parts(kind) if "Source" in p.declared.doc or "arXiv" in p.declared.doc]
        assert cited, f"no part of {kind} says where it comes from"
