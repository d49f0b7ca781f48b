"""Numbers that stay where they should: number formats under autocast, and committed loss curves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from zoo.builder import build, section
from zoo.ops.precision import autocast
from zoo.recipe import load_recipe
from zoo.train.loop import train
from zoo.train.precision import LossScale

CURVES = Path(__file__).with_name("golden_curves.json")
RECIPES = ("quickstart", "dim_s_cifar", "uvit_s_cifar", "mamba_s_cifar")
CPU = torch.device("cpu")


def golden_run(name: str, folder: Path) -> list[float]:
    """The losses of 20 updates of a shipped recipe, made small, on the embedded pictures."""
    recipe = load_recipe(name)
    heads = ["backbone.mixer.heads=4"] if recipe.get("backbone.mixer.use") == "attention" else []
    recipe = recipe.override([
        "shape=[3, 16, 16]", "backbone.width=32", "backbone.depth=3", *heads, "train.steps=20", "train.batch=8",
        "train.warmup=5", "train.log_every=1", "train.val_every=0", "train.preview_every=0", "train.save_every=0",
        "train.precision=fp32", "train.workers=0", "train.compile=false", "train.max_minutes=0", "train.seed=7",
    ])  # fmt: skip
    if recipe.get("data.use") != "emoji":
        recipe = recipe.override(["data={use: emoji, labels: [], categories: [smileys]}"])
    train(recipe, folder, device="cpu")
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", RECIPES)
def test_the_first_updates_are_those_that_were_committed(name, tmp_path):
    known = json.loads(CURVES.read_text())["curves"][name]
    assert golden_run(name, tmp_path) == pytest.approx(known, rel=2e-3), "python tools/refresh_goldens.py WHY"


def test_every_golden_curve_has_a_reason():
    content = json.loads(CURVES.read_text())
    assert set(content["curves"]) == set(RECIPES) and all(len(curve) == 20 for curve in content["curves"].values())
    assert content["reasons"] and all(content["reasons"])


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_state_space_parameters_and_state_are_float32_under_autocast(tiny, precision, monkeypatch):
    from zoo.ops.dispatch import load

    backbone, seen, backend = build(tiny()), [], load("selective_scan", "cpu")
    plain = backend.forward

    def watched(inputs, save):
        seen.append({name: getattr(inputs, name).dtype for name in ("A", "D", "dt_bias")})
        return plain(inputs, save)

    monkeypatch.setattr(backend, "forward", watched)
    with autocast(CPU, precision):
        backbone(torch.randn(2, 3, 8, 8), torch.rand(2), torch.tensor([0, 1]))
    assert seen and all(set(dtypes.values()) == {torch.float32} for dtypes in seen)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


def test_float16_is_never_without_a_scale(tiny):
    settings = section(tiny("train.precision=fp16"), "train")()
    assert LossScale(settings.precision, CPU).active and not LossScale("bf16", CPU).active


def test_blocks_compile_without_breaks_and_once_for_all_batch_sizes(tiny):
    from torch._dynamo.utils import counters

    from zoo.train.parallel import compile_blocks

    torch._dynamo.reset()
    counters.clear()
    backbone = build(tiny("backbone.mixer={use: mamba, state: 4}", "backbone.skip=none", "backbone.depth=2"))
    plain, torch.compile = torch.compile, lambda f: plain(f, backend="eager", fullgraph=True)
    try:
        compile_blocks(backbone)
    finally:
        torch.compile = plain
    for batch in (2, 3, 5):
        backbone(torch.randn(batch, 3, 8, 8), torch.rand(batch), torch.zeros(batch, dtype=torch.int64))
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] <= 4, dict(counters["stats"])
    torch._dynamo.reset()
