"""Evaluation while a model trains: it says what it sees and changes nothing."""

from __future__ import annotations

import json

import pytest
import torch

from zoo.errors import RecipeError, ZooError
from zoo.eval import Result, evaluate
from zoo.train.loop import train
from zoo.weights.file import read_weights

SECTION = {"eval": {"every": 20, "count": 20, "extractor": "waves", "metrics": ["fd", "pr"], "batch": 8,
                    "sampler": {"use": "euler_maruyama", "steps": 2}}}  # fmt: skip


def weights(run, name: str = "model"):
    return read_weights(run / f"checkpoints/step-00000012/{name}.safetensors").tensors


def records(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def runs(recipe, waves, tmp_path_factory):
    """The same training without and with a look every 20 images."""
    folder, watched = tmp_path_factory.mktemp("runs"), recipe.override(SECTION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_DATA", str(folder / "data"))
        for name, of in (("plain", recipe), ("watched", watched)):
            train(of, folder / name, device="cpu")
    return folder / "plain", folder / "watched"


def test_the_weights_and_losses_are_those_of_a_run_without(runs):
    plain, watched = runs
    for name in ("model", "ema", "optim"):
        one, other = weights(plain, name), weights(watched, name)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    losses = [[(r["step"], r["loss"]) for r in records(run) if "loss" in r] for run in runs]
    assert losses[0] == losses[1] and losses[0]


def test_figures_come_every_so_many_images_and_at_the_end(runs):
    _, watched = runs
    found = {r["step"]: r["FD-waves"] for r in records(watched) if "FD-waves" in r}
    assert sorted(found) == [5, 10, 12]  # 20 and 40 images by updates of 4; and the end
    for step, value in found.items():
        result = Result.load(watched / f"eval/step-{step:08d}.json")
        assert result.metrics["FD-waves"] == value and result.protocol["model"]["step"] == step
        assert result.protocol["sampler"]["steps"] == 2 and result.protocol["model"]["ema"]
    assert not (runs[0] / "eval").exists()


def test_the_last_look_is_the_evaluation_of_the_finished_run(runs):
    _, watched = runs
    last = Result.load(watched / "eval/step-00000012.json")
    again = evaluate(watched, extractor="waves", metrics=("fd", "pr"), count=20, batch=8, device="cpu",
                     overrides=["sampler.steps=2"])  # fmt: skip
    assert again.protocol["images"]["sha256"] == last.protocol["images"]["sha256"]
    assert again.metrics == pytest.approx(last.metrics, rel=1e-9)


def test_the_section_does_not_change_what_a_recipe_is(recipe):
    assert recipe.override(SECTION).hash == recipe.hash


@pytest.mark.parametrize(("change", "words"), [
    ({"eval.extractor": "inceptoin"}, "did you mean 'inception'"),
    ({"eval.metrics": ["fdd"]}, "did you mean 'fd'"),
    ({"eval.evry": 3}, "did you mean 'every'"),
    ({"eval.count": 1}, "eval.count: 1 is too small"),
    ({"eval.sampler.use": "ddpm", "eval.extractor": "clip", "eval.metrics": ["is"]}, "logits|needs|fetch|ddpm"),
])  # fmt: skip
def test_mistakes_are_found_before_the_first_update(recipe, change, words, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *a, **k: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises((RecipeError, ZooError), match=words):
        train(recipe.override(SECTION).override(change), tmp_path / "run", device="cpu")
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))
