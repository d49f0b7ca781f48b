"""Training on a GPU: it does not wait, and it repeats itself."""

from __future__ import annotations

import pytest
import torch
from tiny_runs import losses, same, tensors

from zoo.builder import section
from zoo.train.feed import Feed
from zoo.train.guard import Guard
from zoo.train.loop import train
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Objective, Update

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_an_update_never_waits_for_the_device(tiny, precision):
    recipe, device = tiny(f"train.precision={precision}"), torch.device("cuda")
    settings = section(recipe, "train")()
    state = State.start(recipe, settings, Ranks(device))
    update = Update(Objective(recipe, state.backbone, precision), settings, Guard("raise", device))
    batch = next(Feed(recipe, settings, Ranks(device)).batches(0))
    update(state, batch)
    torch.cuda.set_sync_debug_mode("error")
    try:
        update(state, batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_83_and_117_updates_are_200_bit_for_bit_on_the_gpu(tiny, tmp_path, stop_at):
    recipe = tiny("train.precision=bf16", "train.deterministic=true", "train.steps=200")
    train(recipe, tmp_path / "whole", device="cuda")
    stop_at(83)
    assert "step 83" in train(recipe, tmp_path / "parts", device="cuda")
    train(recipe, tmp_path / "parts", device="cuda", resume=True)
    torch.use_deterministic_algorithms(False)
    assert same(tensors(tmp_path / "whole", 200), tensors(tmp_path / "parts", 200))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_without_determinism_losses_are_near_to_each_other(tiny, tmp_path):
    for name in ("one", "two"):
        train(tiny("train.precision=bf16", "train.steps=200"), tmp_path / name, device="cuda")
    one, two = ([record["loss"] for record in losses(tmp_path / name)] for name in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-3)
