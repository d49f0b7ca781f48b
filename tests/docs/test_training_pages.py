"""Pages about trainings are what their tools make of docs/results, and show the pictures that the tools write."""

from __future__ import annotations

import json
import re
import sys

import pytest
from blocks import ROOT

DOCS = ROOT / "docs"
LOOKS = [{"step": 500, "loss": 0.25, "val_ema": 0.375, "val_constant": 1.0}, {"step": 1000, "loss": 0.125},
         {"step": 1250, "loss": 0.0625, "val_ema": 0.03125, "val_constant": 1.0}]  # fmt: skip
RUN = {"began": "step-0", "ended": "stopped by SIGTERM at step 1,100", "step": 1100, "images": 140800,
       "images_per_second": 1234, "mfu": 0.15, "memory_gib": 9.5}  # fmt: skip
CIFAR = {"kind": "cifar_dim_s", "seconds": 150.0, "device": "a GPU", "torch": "2", "records": LOOKS,
         "runs": [RUN, {**RUN, "began": "step-00001100", "ended": "stopped by SIGTERM at step 2,300", "step": 2300,
                        "images": 294400, "mfu": None}]}  # fmt: skip
SIZE = {"side": 64, "lr": 0.0005, "updates": 3000, "images_per_second": 2700, "seconds": 142.0, "val_ratio": 0.02,
        "curve": [[10.0, 0.25], [142.0, 0.125]], "init": [], "metrics": {"FD-a": 50.0}}  # fmt: skip
WEAK = {"kind": "weak_to_strong", "seconds": 140.0, "batch": 128, "device": "a GPU", "torch": "2", "runs": {
    "weak": {**SIZE, "side": 32, "seconds": 70.0}, "scratch": SIZE,
    "strong": {**SIZE, "seconds": 71.0, "curve": [[71.0, 0.0625]], "init": ["from runs/weak: 1 adapted: position"],
               "metrics": {"FD-a": 25.0}}}}  # fmt: skip


@pytest.fixture
def tool(script, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    sys.modules.pop("training_runs", None)
    return script


def pictures(text: str) -> set[str]:
    return set(re.findall(r"!\[[^]]*\]\(results/([^)]+)\)", text))


def test_two_runs_with_a_stop_between_make_a_section(tool):
    text = tool("cifar_resume").section(CIFAR)
    assert "| ended | stopped by SIGTERM at step 1,100 | stopped by SIGTERM at step 2,300 |" in text
    assert "| began | at step 0 | from step-00001100 |" in text and "| MFU | 15% | unknown |" in text
    assert "at step 1,000, is 0.12500; the first one after it, at step 1,250, is 0.06250" in text
    assert pictures(text) == {"cifar_dim_s_loss.png", "cifar_dim_s_samples.png"}


def test_weak_to_strong_makes_a_page_whoever_wins(tool):
    study = tool("weak_to_strong")
    text = study.page(WEAK)
    assert "| 32 px, then 64 px | 3,000 at 32 px, then 3,000 at 64 px | 141 s | 0.06250 | FD-a 25.00 |" in text
    assert "the loss is 50.0% lower for *32 px, then 64 px*" in text and "> from runs/weak: 1 adapted" in text
    assert "distance is 50.0% lower for *32 px" in text
    assert pictures(text) == {f"weak_to_strong_{name}.png" for name in ("curve", "strong", "scratch")}
    worse = {**WEAK["runs"], "scratch": {**SIZE, "curve": [[142.0, 0.03125]], "metrics": {}}}
    text = study.page({**WEAK, "runs": worse})
    assert "the loss is 50.0% lower for *64 px from scratch*" in text and "not measured" in text


def test_its_curve_counts_what_was_spent_on_small_pictures(tool, tmp_path):
    study = tool("weak_to_strong")
    assert study.timed(WEAK, "strong") == [(141.0, 0.0625)] and study.timed(WEAK, "scratch")[0] == (10.0, 0.25)
    study.draw(WEAK, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 1000


@pytest.mark.parametrize("name", ["cifar_resume", "emoji_run", "weak_to_strong"])
def test_pages_are_what_the_results_say(tool, name):
    made = tool(name)
    found = json.loads((DOCS / "results" / f"{made.NAME}.json").read_text())
    page = made.PAGE.read_text(encoding="utf-8")
    text = made.section(found) if hasattr(made, "section") else made.page(found)
    assert text in page and all((DOCS / "results" / file).exists() for file in pictures(text))


def test_a_section_goes_between_its_marks_and_nowhere_else(tool, tmp_path):
    fill = tool("training_runs").fill
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- written by tools/a.py -->\nold\n<!-- end of tools/a.py -->\nafter\n")
    fill(page, "a", "new")
    assert page.read_text() == "before\n<!-- written by tools/a.py -->\nnew\n<!-- end of tools/a.py -->\nafter\n"
    with pytest.raises(ValueError, match=r"no place for tools/b\.py"):
        fill(page, "b", "new")
