"""The memory of an update is known before the first one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from zoo.builder import build_backbone
from zoo.cli.train import main
from zoo.recipe import load_recipe
from zoo.train.memory import need

RESULTS = Path(__file__).parents[3] / "docs/results"


def measured() -> dict[str, dict]:
    """Updates of shipped recipes as they are, measured on a GPU."""
    found = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("bench_train_*.json"))]
    rows = [row for result in found for row in result["updates"]]
    return {row["contestant"]: row for row in rows if " " not in row["contestant"] and row["form"] == "eager"}


@pytest.mark.parametrize("name", measured())
def test_peak_memory_is_predicted_to_15_percent(name):
    row = measured()[name]
    recipe = load_recipe(name, [f"train.precision={row['precision']}"])
    assert need(recipe).at(row["micro_batch"]) == pytest.approx(row["peak_mib"] * 2**20, rel=0.15)


def test_memory_grows_with_depth_image_and_averages(tiny):
    small, deep, large = (need(tiny(*o)) for o in ([], ["backbone.depth=7"], ["shape=[3,16,16]"]))
    assert small.image < deep.image < 2.5 * small.image and large.image > 3 * small.image
    assert need(tiny("train.ema=[]")).states / small.states == pytest.approx(4 / 6)
    assert need(tiny("train.parallel=fsdp"), 4).states == small.states // 4
    assert small.most(small.at(5)) == 5 and small.most(small.states) == 0


def test_half_precision_needs_less_and_recomputation_is_not_predicted(tiny):
    assert need(tiny("train.precision=bf16")).image < 0.9 * need(tiny()).image
    assert need(tiny("train.recompute=block")) is None


def test_looking_ahead_leaves_nothing_behind(tiny):
    recipe = tiny("backbone.padding=grid_tokens")
    need(recipe)
    backbone, given = build_backbone(recipe), (torch.zeros(1, 3, 8, 8), torch.zeros(1), {"label": torch.tensor([1])})
    out = backbone(*given)
    need(recipe)
    assert type(out) is torch.Tensor and torch.equal(out, backbone(*given))


def test_a_dry_run_says_it(recipe_file, capsys):
    assert main([str(recipe_file), "--dry-run", "--device", "cpu"]) == 0
    assert "memory " in capsys.readouterr().out
