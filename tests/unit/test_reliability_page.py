"""The page of promises names tests that exist, and is the one that the results give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tool(script):
    return script("reliability")


def test_there_are_34_promises_and_every_test_they_name_exists(tool):
    promises = tool.promises()
    assert [p.number for p in promises] == list(range(1, 35))
    for promise in promises:
        assert promise.tests or promise.gpu or promise.open, promise
        for test in (*promise.tests, *promise.gpu):
            file, _, name = test.partition("::")
            assert (ROOT / file).exists(), test
            assert not name or f"def {name}(" in (ROOT / file).read_text(), test


def test_the_page_is_what_the_results_say(tool):
    results = json.loads(tool.RESULTS.read_text())["promises"]
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(results)
    assert not any(found["failed"] for row in results.values() for found in row.values())
