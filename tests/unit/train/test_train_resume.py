"""A run that was interrupted ends like one that was not."""

from __future__ import annotations

import itertools
import random

import pytest
from tiny_runs import losses, same, tensors, trained

from zoo.errors import CheckpointError, RecipeError, ZooError

CASES = list(itertools.product(("fp32", "bf16", "fp16"), (0, 2), (0, 2), ("[0.9]", "[0.9, 0.99, 0.5]")))


@pytest.mark.parametrize(("precision", "micro", "workers", "ema"), [
    ("bf16", 2, 0, "[0.9, 0.99]"), *(pytest.param(*case, marks=pytest.mark.many) for case in CASES)])
def test_17_and_23_updates_are_40_bit_for_bit(tiny, tmp_path, stop_at, monkeypatch, precision, micro, workers, ema):
    if workers:  # processes that read, not a memory
        monkeypatch.setattr("zoo.data.loader.memory_of", lambda *arguments: None)
    recipe = tiny(f"train.precision={precision}", f"train.micro_batch={micro}", f"train.workers={workers}",
                  f"train.ema={ema}")  # fmt: skip
    trained(recipe, tmp_path / "whole")
    stop_at(17)
    assert "stopped by Ctrl-C at step 17" in trained(recipe, tmp_path / "parts")
    assert "finished 40 updates" in trained(recipe, tmp_path / "parts", resume=True)
    assert same(tensors(tmp_path / "whole", 40), tensors(tmp_path / "parts", 40))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")
    whole, parts = ((tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("whole", "parts"))
    assert len(whole) == len(parts)


def test_a_checkpoint_holds_weights_both_averages_and_the_optimizer(tiny, tmp_path):
    trained(tiny("train.steps=2"), tmp_path)
    names = set(tensors(tmp_path, 2))
    assert {name.partition(":")[0] for name in names} == {"model", "ema", "ema-0.99", "optim"}
    assert "optim:exp_avg/head.linear.weight" in names or any(n.startswith("optim:exp_avg/head") for n in names)


def test_records_after_the_checkpoint_are_forgotten(tiny, tmp_path):
    recipe = tiny("train.steps=12", "train.save_every=6")
    trained(recipe, tmp_path)
    whole = losses(tmp_path)
    newest = tmp_path / "checkpoints/step-00000012"
    (newest / "MANIFEST.json").unlink()
    trained(recipe, tmp_path, resume=True)
    assert losses(tmp_path) == whole


def test_a_damaged_checkpoint_is_passed_over_and_the_reason_said(tiny, tmp_path, capsys):
    recipe = tiny("train.steps=12", "train.save_every=6")
    trained(recipe, tmp_path)
    whole = tensors(tmp_path, 12)
    path = tmp_path / "checkpoints/step-00000012/ema.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    trained(recipe, tmp_path, resume=True)
    said = capsys.readouterr().out
    assert "passed over" in said and "the sha256 of ema.safetensors" in said and "continues from" in said
    assert same(tensors(tmp_path, 12), whole)


def test_only_damaged_checkpoints_are_an_error_and_nothing_is_deleted(tiny, tmp_path):
    recipe = tiny("train.steps=2")
    trained(recipe, tmp_path)
    (tmp_path / "checkpoints/step-00000002/model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"model.safetensors has 0 bytes"):
        trained(recipe, tmp_path, resume=True)
    assert (tmp_path / "checkpoints/step-00000002/optim.safetensors").exists()


def test_a_finished_run_has_nothing_to_do(tiny, tmp_path):
    trained(tiny("train.steps=2"), tmp_path)
    assert "nothing to do" in trained(tiny("train.steps=2"), tmp_path, resume=True)


def test_a_finished_run_can_be_made_longer(tiny, tmp_path):
    trained(tiny("train.steps=9"), tmp_path / "a")
    trained(tiny("train.steps=12"), tmp_path / "a", resume=True)
    trained(tiny("train.steps=12"), tmp_path / "b")
    assert same(tensors(tmp_path / "a", 12), tensors(tmp_path / "b", 12))


def test_a_run_is_not_overwritten_and_the_message_says_what_to_type(tiny, tmp_path):
    trained(tiny("train.steps=2"), tmp_path)
    with pytest.raises(ZooError, match=r"holds a run, step-00000002 is saved; .*--resume"):
        trained(tiny("train.steps=2"), tmp_path)


def test_another_recipe_is_refused_with_what_differs(tiny, tmp_path):
    trained(tiny("train.steps=2"), tmp_path)
    with pytest.raises(RecipeError, match=r"another recipe \(train.clip: 1.0 -> 2.0\)"):
        trained(tiny("train.steps=2", "train.clip=2"), tmp_path, resume=True)


def test_a_cosine_run_cannot_change_its_length(tiny, tmp_path):
    trained(tiny("train.steps=2", "train.schedule=cosine"), tmp_path)
    with pytest.raises(RecipeError, match=r"train\.steps: 2 -> 3"):
        trained(tiny("train.steps=3", "train.schedule=cosine"), tmp_path, resume=True)


def test_resume_without_a_run_starts_one(tiny, tmp_path, capsys):
    assert "finished 1 updates" in trained(tiny("train.steps=1"), tmp_path, resume=True)
    assert "nothing to resume" in capsys.readouterr().out


def test_any_stop_is_harmless(tiny, tmp_path, stop_at, trials):
    """At the first update, at an epoch's end (29 images: update 4), at a save point, at the last, and anywhere."""
    recipe, chance = tiny("train.steps=12", "train.save_every=5", "train.keep=1"), random.Random(0)
    trained(recipe, tmp_path / "whole")
    whole = tensors(tmp_path / "whole", 12)
    anywhere = [chance.randrange(1, 13) for _ in range(196 if trials(200) == 200 else 4)]
    for trial, step in enumerate([1, 4, 5, 12, *anywhere]):
        folder = tmp_path / f"parts{trial}"
        stop_at(step)
        trained(recipe, folder)
        stop_at(0)
        trained(recipe, folder, resume=True)
        assert same(tensors(folder, 12), whole) and losses(folder) == losses(tmp_path / "whole"), step
