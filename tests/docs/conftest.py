"""One tiny run for all pages, and parts that a page registers forgotten after it."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "tools")]


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """The folder of the quickstart, trained for two updates."""
    from small import TINY
    from story import entry

    place = tmp_path_factory.mktemp("tiny") / "runs/quickstart"
    assert entry("zoo-train")(["quickstart", "--out", str(place), *TINY]) == 0
    return place


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder; what is registered or imported from it is forgotten afterwards."""
    from zoo import registry

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "cache"))
    before = copy.deepcopy(registry._aliases), {k: dict(v) for k, v in registry._catalog.items()}
    scanned, modules = set(registry._scanned), set(sys.modules)
    yield tmp_path
    registry._aliases.clear(), registry._aliases.update(before[0])
    registry._catalog.clear(), registry._catalog.update(before[1])
    registry._scanned.clear(), registry._scanned.update(scanned)
    registry._import.cache_clear()
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path) + os.sep):
            del sys.modules[name]
