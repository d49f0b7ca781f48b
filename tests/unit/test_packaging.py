"""What is shipped is complete."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_pyproject_lists_every_package():
    tomllib = pytest.importorskip("tomllib")
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "zoo").rglob("*.py")}
    assert set(listed) == folders | {"zoo.recipes"}


def test_what_ships_is_text_and_the_embedded_pictures_and_no_tests():
    """What setuptools would pack, by the patterns of pyproject.toml."""
    tomllib = pytest.importorskip("tomllib")
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    elsewhere = setuptools["package-dir"]
    folders = {name: ROOT / elsewhere.get(name, name.replace(".", "/")) for name in setuptools["packages"]}
    shipped = {file for folder in folders.values() for file in folder.glob("*.py")}
    for name, patterns in setuptools["package-data"].items():
        found = {pattern: {f for f in folders[name].glob(pattern) if f.is_file()} for pattern in patterns}
        assert all(found.values()), found
        shipped |= set().union(*found.values())
    assert {ROOT / "recipes/quickstart.yaml", ROOT / "recipes/_base/dim.yaml", ROOT / "zoo/py.typed"} <= shipped
    assert not [f for f in shipped if f.name.startswith(("test_", "conftest")) or "tests" in f.relative_to(ROOT).parts]
    for file in shipped - {ROOT / "zoo/data/emoji/emoji.zip"}:
        file.read_text(encoding="utf-8")  # raises on anything binary
