"""A backbone comes back from its file as it was, or not at all."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch
from tiny_recipe import RECIPE

from zoo.builder import build_backbone
from zoo.errors import CheckpointError, ZooError
from zoo.recipe import Recipe
from zoo.weights import hub
from zoo.weights.file import read_weights, save_weights
from zoo.weights.load import from_pretrained, save_pretrained


@pytest.fixture
def recipe():
    return Recipe.from_text(RECIPE, "tiny.yaml")


@pytest.fixture
def backbone(recipe):
    torch.manual_seed(0)
    return build_backbone(recipe)


@pytest.fixture
def saved(backbone, recipe, tmp_path):
    return save_pretrained(backbone, tmp_path / "model", recipe, {"step": 3})


def checkpoint(folder, backbone, recipe, fill: float, ema: bool = True):
    """A checkpoint as the trainer writes it; raw weights hold `fill`, averaged ones `fill` + 0.5."""
    files = {"model.safetensors": fill, **({"ema.safetensors": fill + 0.5} if ema else {})}
    listed = []
    for name, value in files.items():
        tensors = {k: torch.full_like(v, value) for k, v in backbone.state_dict().items()}
        save_weights(folder / name, tensors, recipe.to_yaml(), {})
        data = (folder / name).read_bytes()
        listed.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    (folder / "MANIFEST.json").write_text(json.dumps({"files": listed, "recipe": recipe.hash, "step": 1}))
    return folder


def first_value(backbone) -> float:
    return next(iter(backbone.state_dict().values())).flatten()[0].item()


def test_the_same_network_comes_back_in_eval_mode(backbone, recipe, saved):
    back = from_pretrained(saved)
    assert not back.training and back.recipe.hash == recipe.hash and back.card == {"step": 3}
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    assert torch.equal(back(x, t), backbone.eval()(x, t))
    assert torch.equal(from_pretrained(saved.parent)(x, t), back(x, t))


def test_a_loaded_network_saves_to_the_same_bytes(saved, tmp_path):
    again = save_pretrained(from_pretrained(saved), tmp_path / "again")
    assert again.read_bytes() == saved.read_bytes()


def test_a_run_gives_its_newest_checkpoint_averaged_first(backbone, recipe, tmp_path):
    for step in (9, 10, 200):
        checkpoint(tmp_path / f"checkpoints/step-{step:08d}", backbone, recipe, float(step))
    (tmp_path / "checkpoints/step-00000300.tmp-77").mkdir()
    assert first_value(from_pretrained(tmp_path)) == 200.5
    assert first_value(from_pretrained(tmp_path, ema=False)) == 200
    assert first_value(from_pretrained(tmp_path / "checkpoints/step-00000009")) == 9.5


def test_without_averages_the_raw_weights_are_taken(backbone, recipe, tmp_path):
    assert first_value(from_pretrained(checkpoint(tmp_path, backbone, recipe, 4.0, ema=False))) == 4


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest"])
def test_a_damaged_checkpoint_is_passed_over(backbone, recipe, tmp_path, damage):
    checkpoint(tmp_path / "checkpoints/step-00000001", backbone, recipe, 1.0)
    newest = checkpoint(tmp_path / "checkpoints/step-00000002", backbone, recipe, 2.0)
    file = newest / ("MANIFEST.json" if damage == "manifest" else "ema.safetensors")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(b"{" if damage == "manifest" else data if damage == "flip" else data[:-1])
    if damage == "gone":
        file.unlink()
    assert first_value(from_pretrained(tmp_path)) == 1.5
    with pytest.raises(CheckpointError, match="step-00000002"):
        from_pretrained(newest)


def test_a_run_without_a_usable_checkpoint_says_why(backbone, recipe, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(CheckpointError, match="has not saved yet"):
        from_pretrained(tmp_path)
    broken = checkpoint(tmp_path / "checkpoints/step-00000002", backbone, recipe, 2.0)
    (broken / "ema.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no usable checkpoint.*ema.safetensors: missing"):
        from_pretrained(tmp_path)


def test_tensors_that_do_not_fit_are_listed(backbone, recipe, tmp_path):
    state = backbone.state_dict()
    lost, bent = list(state)[:2]
    del state[lost]
    state[bent], state["head.extra"] = torch.zeros(3, 1), torch.zeros(1)
    save_weights(tmp_path / "a.safetensors", state, recipe.to_yaml(), {})
    with pytest.raises(CheckpointError) as error:
        from_pretrained(tmp_path / "a.safetensors")
    assert f"1 missing ({lost})" in str(error.value) and "1 unexpected (head.extra)" in str(error.value)
    assert f"1 of another shape ({bent} (3, 1)" in str(error.value)


def test_plugins_in_weights_never_run_unasked(backbone, recipe, tmp_path):
    canary, plugin = tmp_path / "canary", tmp_path / "plugin.py"
    plugin.write_text(f"open({str(canary)!r}, 'w')\n")
    text = RECIPE + f"plugins: [{plugin}]\n"
    save_weights(tmp_path / "a.safetensors", backbone.state_dict(), text, {})
    with pytest.raises(ZooError, match="is code that this recipe wants to run"):
        from_pretrained(tmp_path / "a.safetensors")
    assert not canary.exists()


def test_plugins_run_when_they_are_allowed(backbone, recipe, tmp_path):
    plugin = tmp_path / "wide.py"
    plugin.write_text(
        "from zoo.parts.norm.layer import LayerNorm\n"
        "from zoo.registry import register\n"
        '@register("norm", "from_a_test")\n'
        "class Wide(LayerNorm):\n"
        "    def __init__(self, width: int, *, extra: int = 0):\n"
        "        super().__init__(width)\n"
    )
    text = RECIPE.replace("norm: layer", "norm: {use: from_a_test, extra: 3}") + f"plugins: [{plugin}]\n"
    save_weights(tmp_path / "a.safetensors", backbone.state_dict(), text, {})
    back = from_pretrained(tmp_path / "a.safetensors", allow_plugins=True)
    assert "Wide" in repr(back)


def test_a_recipe_that_is_not_one_is_an_error_of_ours(backbone, tmp_path):
    code = "shape: !!python/object/apply:os.system [true]"
    for text in ("", "- 1", code, "shape: [3, 8, 8]\nbackbone: {use: nothing}"):
        save_weights(tmp_path / "a.safetensors", backbone.state_dict(), text, {})
        with pytest.raises(ZooError):
            from_pretrained(tmp_path / "a.safetensors")


@pytest.mark.parametrize("name", [
    "nowhere", "hf-hub:", "hf-hub:a", "hf-hub:../../etc", "hf-hub:a/b/c", "hf-hub:a/..", "hf-hub:a/b@../c",
])  # fmt: skip
def test_sources_that_are_nothing_are_refused(tmp_path, name):
    with pytest.raises(CheckpointError):
        from_pretrained(name if name.startswith("hf") else tmp_path / name)


def test_an_empty_folder_says_what_it_should_hold(tmp_path):
    with pytest.raises(CheckpointError, match="no weights here"):
        from_pretrained(tmp_path)


def test_offline_the_hub_says_so(monkeypatch, tmp_path):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_, **__):
        raise LocalEntryNotFoundError("no")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    with pytest.raises(CheckpointError, match="hf-hub:a/b: the hub cannot be reached"):
        hub.download("hf-hub:a/b")


def test_a_hub_id_reads_the_downloaded_file(monkeypatch, saved):
    import huggingface_hub

    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: asked.append((a, k)) or str(saved))
    assert from_pretrained("hf-hub:org/name@v1").card == {"step": 3}
    assert asked == [(("org/name", "model.safetensors"), {"revision": "v1"})]


def test_bf16_weights_fill_a_float32_network_exactly(backbone, recipe, tmp_path):
    low = {name: tensor.bfloat16() for name, tensor in backbone.state_dict().items()}
    save_weights(tmp_path / "low.safetensors", low, recipe.to_yaml(), {})
    back = from_pretrained(tmp_path / "low.safetensors").state_dict()
    assert all(torch.equal(back[name], tensor.float()) for name, tensor in low.items())
    assert read_weights(tmp_path / "low.safetensors").tensors.keys() == low.keys()
