"""A run begins with the weights of a smaller one, and that helps."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import losses, same, tensors, trained

from zoo.errors import CheckpointError
from zoo.recipe import load_recipe

SETTINGS = [
    "backbone.width=48", "backbone.depth=3", "backbone.padding.count=1", "data.names=[face-*]", "train.batch=8",
    "train.val_images=24", "train.val_every=0", "train.preview_every=0", "train.save_every=0", "train.warmup=10",
    "train.workers=0", "train.ema=[0.9]", "train.optimizer.lr=3.0e-3",
]  # fmt: skip


def test_a_run_begins_with_averaged_weights_of_another_and_says_what_it_changed(tiny, tmp_path, capsys):
    trained(tiny("train.steps=3"), tmp_path / "a")
    recipe = tiny("shape=[3, 12, 8]", "train.steps=1", "train.optimizer.lr=0.0", f"train.init_from={tmp_path / 'a'}")
    trained(recipe, tmp_path / "b")
    said = capsys.readouterr().out
    assert "1 adapted: position.table 4x4x32 -> 6x4x32" in said and "tensors taken as they are" in said
    before, after = tensors(tmp_path / "a", 3), tensors(tmp_path / "b", 1)
    assert torch.equal(before["ema:blocks.0.mixer.A_log"], after["model:blocks.0.mixer.A_log"])
    assert torch.equal(after["ema:position.table"], after["model:position.table"])


def test_a_resumed_run_no_longer_needs_what_it_began_with(tiny, tmp_path, stop_at):
    trained(tiny("train.steps=2"), tmp_path / "a")
    recipe = tiny("train.steps=6", f"train.init_from={tmp_path / 'a'}")
    trained(recipe, tmp_path / "whole")
    stop_at(3)
    trained(recipe, tmp_path / "parts")
    (tmp_path / "a").rename(tmp_path / "elsewhere")
    trained(recipe, tmp_path / "parts", resume=True)
    assert same(tensors(tmp_path / "whole", 6), tensors(tmp_path / "parts", 6))


def test_a_missing_start_is_an_error_that_says_how_to_do_without(tiny, tmp_path):
    with pytest.raises(CheckpointError, match=r"train\.init_from: .*train\.init_from=null"):
        trained(tiny("train.steps=1", "train.init_from=runs/nothing"), tmp_path)


def test_weak_to_strong_beats_training_from_scratch_on_the_embedded_set(tmp_path):
    """16 px, then a third as many updates at 32 px, against those alone: the loss on held-out images."""
    weak = load_recipe("quickstart", [*SETTINGS, "shape=[3, 16, 16]", "train.steps=60"])
    trained(weak, tmp_path / "weak")
    strong = load_recipe("quickstart", [*SETTINGS, "train.steps=20", "train.val_every=20"])
    trained(strong, tmp_path / "scratch")
    trained(strong.override([f"train.init_from={tmp_path / 'weak'}"]), tmp_path / "strong")
    scratch, strong = (losses(tmp_path / name)[-1]["val_ema"] for name in ("scratch", "strong"))
    assert strong < 0.9 * scratch, (strong, scratch)
