"""zoo-convert reads published files without running them, and writes ours or theirs, whole or not at all."""

from __future__ import annotations

import argparse
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from zoo.cli.convert import main
from zoo.interop import to_official

SMALL = ["backbone.width=32", "backbone.depth=2", "backbone.mixer.heads=2", "shape=[4, 8, 12]"]
HINTS = ["num_heads=2", "patches_hw=[2,3]"]


@pytest.fixture(scope="module")
def published():
    """A small DiT: its backbone, and the tensors as DiT publishes them."""
    recipe = zoo.load_recipe("dit_s4_imagenet256", SMALL)
    torch.manual_seed(0)
    backbone = zoo.build(recipe)
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return backbone, to_official("dit", backbone, recipe)[0]


def run(capsys, *words) -> tuple[int, str]:
    code = main([str(w) for w in words])
    told = capsys.readouterr()
    return code, told.out + told.err


def assert_is(path, backbone) -> None:
    ours, theirs = zoo.from_pretrained(path).state_dict(), backbone.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.safetensors"])
def test_a_published_file_becomes_a_folder_of_ours(published, tmp_path, capsys, name):
    backbone, tensors = published
    (save_file if name.endswith("safetensors") else torch.save)(tensors, tmp_path / name)
    code, told = run(capsys, tmp_path / name, tmp_path / "out", *HINTS)
    assert code == 0 and told.startswith("dit, ")
    assert_is(tmp_path / "out", backbone)
    assert {f.name for f in (tmp_path / "out").iterdir()} == {"model.safetensors", "recipe.yaml", "README.md"}
    assert zoo.from_pretrained(tmp_path / "out").card == {"family": "dit", "converted from": name}


def test_a_recipe_brings_process_and_sampler(published, tmp_path, capsys):
    _, tensors = published
    recipe = tmp_path / "small.yaml"
    recipe.write_text("extends: dit_s4_imagenet256\nshape: [4, 8, 12]\nsampler: {use: ddim, steps: 50}\n"
                      "backbone: {width: 32, depth: 2, mixer: {heads: 2}}\n")  # fmt: skip
    torch.save(tensors, tmp_path / "a.pt")
    assert run(capsys, tmp_path / "a.pt", tmp_path / "a.safetensors", "--recipe", recipe)[0] == 0
    assert zoo.from_pretrained(tmp_path / "a.safetensors").recipe.get("sampler.steps") == 50


@pytest.mark.parametrize("end", [".pt", ".pth", ".safetensors"])
def test_ours_becomes_a_published_file_and_comes_back(published, tmp_path, capsys, end):
    backbone, tensors = published
    ours = zoo.save_pretrained(backbone, tmp_path / "ours", zoo.load_recipe("dit_s4_imagenet256", SMALL))
    code, told = run(capsys, ours, tmp_path / f"b{end}", "--to", "dit")
    assert code == 0 and "num_heads=2" in told
    read = load_file if end == ".safetensors" else lambda f: torch.load(f, weights_only=True)
    back = read(tmp_path / f"b{end}")
    assert back.keys() == tensors.keys() and all(torch.equal(back[k], tensors[k]) for k in tensors)
    assert run(capsys, tmp_path / f"b{end}", tmp_path / "again", *HINTS)[0] == 0
    assert_is(tmp_path / "again", backbone)


def test_a_training_checkpoint_gives_its_averages_unless_raw(published, tmp_path, capsys):
    """DiT saves model, ema, opt and its command line, all in one pickle; some were trained under DDP."""
    _, tensors = published
    averaged = {f"module.{k}": torch.full_like(v, 0.5) for k, v in tensors.items()}
    content = {"model": tensors, "ema": averaged, "opt": {"state": {0: {"step": 3}}}, "args": argparse.Namespace(lr=1)}
    torch.save(content, tmp_path / "0001000.pt")
    for words, expected in ((["--raw"], tensors["x_embedder.proj.bias"]), ([], torch.full((32,), 0.5))):
        assert run(capsys, tmp_path / "0001000.pt", tmp_path / "out", *words, *HINTS)[0] == 0
        assert torch.equal(zoo.from_pretrained(tmp_path / "out").patch.proj.bias, expected)


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_pickle_never_runs(published, tmp_path, capsys):
    _, tensors = published
    torch.save({"model": tensors, "extra": Canary(str(tmp_path / "ran"))}, tmp_path / "bad.pt")
    code, told = run(capsys, tmp_path / "bad.pt", tmp_path / "out")
    assert code == 2 and "it was not opened" in told and "safetensors" in told
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "text"])
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_a_damaged_file_is_an_error_in_words(published, tmp_path, capsys, name, damage):
    _, tensors = published
    (save_file if name.endswith("safetensors") else torch.save)(tensors, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes({"cut": data[: len(data) // 2], "empty": b"", "text": b"hello"}[damage])
    code, told = run(capsys, tmp_path / name, tmp_path / "out")
    assert code == 2 and name in told and not (tmp_path / "out").exists()


@pytest.mark.parametrize("words, told", [
    (["nowhere.pt", "out"], "nowhere.pt: no such file"),
    (["a.pt"], "give what to convert"),
    (["a.pt", "out", "num_head=2"], "did you mean 'num_heads'"),
    (["a.pt", "out", "--from", "dim"], "no published dim state dict"),
    (["a.pt", "out", "--from", "did"], "did you mean 'dis'|did you mean 'dit'|did you mean 'dim'"),
    (["a.pt", "out", "2"], "'2' is no hint"),
    (["ours", "b.bin", "--to", "dit"], "cannot end in '.bin'"),
    (["ours", "b.pt", "--to", "u-vit"], "no place for"),
    (["ours", "b.pt", "num_heads=2", "--to", "dit"], "takes no hints"),
])  # fmt: skip
def test_mistakes_are_told_and_nothing_is_written(published, tmp_path, capsys, monkeypatch, words, told):
    import re

    backbone, tensors = published
    monkeypatch.chdir(tmp_path)
    torch.save(tensors, "a.pt")
    zoo.save_pretrained(backbone, "ours", zoo.load_recipe("dit_s4_imagenet256", SMALL))
    before = sorted(tmp_path.rglob("*"))
    code, text = run(capsys, *words)
    assert code == 2 and re.search(told, text), text
    assert sorted(tmp_path.rglob("*")) == before


def test_a_missing_and_a_strange_tensor_are_named(published, tmp_path, capsys):
    tensors = dict(published[1])
    tensors["strange"] = tensors.pop("blocks.1.attn.proj.bias")
    torch.save(tensors, tmp_path / "a.pt")
    code, told = run(capsys, tmp_path / "a.pt", tmp_path / "out", *HINTS)
    assert code == 2 and "no place for ['strange']" in told and "nothing for ['blocks.1.mixer.out.bias']" in told


def test_hints_are_listed(capsys):
    code, told = run(capsys, "--hints", "zigma")
    assert code == 0 and "zigzagN8" in told
