"""Published weights through our names and files, and back, are the published weights, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from ssm_fixtures import fixture, names

import zoo
from zoo.errors import CheckpointError
from zoo.interop import family_of, load_official, to_official

FOLDER = Path(__file__).parent / "fixtures"
FAMILIES = {"dim": "dim", "u-vit": "uvit", "dit": "dit"}
CASES = [(family, f.stem) for family, place in FAMILIES.items() for f in sorted((FOLDER / place).glob("*.json"))]
CASES += [(family, name) for family in ("dis", "zigma") for name in names(family)]


def published(family: str, name: str) -> tuple[dict, dict[str, torch.Tensor]]:
    """The published settings and the state dict."""
    if family in ("dis", "zigma"):
        settings, _, state, _ = fixture(name)
        return settings | ({"temporal_inverse": "swapped"} if name.endswith("asis") else {}), state
    folder = FOLDER / FAMILIES[family]
    meta, tensors = json.loads((folder / f"{name}.json").read_text()), load_file(folder / f"{name}.safetensors")
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    return meta.get("kwargs") or meta["official_kwargs"], state


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype and torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("family, name", CASES)
def test_in_through_a_file_and_out_again(family, name, tmp_path):
    settings, state = published(family, name)
    assert family_of(state) == family
    backbone = load_official(family, state, **settings)
    loaded = zoo.from_pretrained(zoo.save_pretrained(backbone, tmp_path))
    back, told = to_official(family, loaded)
    assert_same(back, state)
    again = load_official(family, back, **told)
    assert again.recipe.hash == backbone.recipe.hash
    assert_same(again.state_dict(), backbone.state_dict())


def test_a_wide_dim_goes_out_as_two_linear_maps():
    settings, state = published("dim", "cond_rhopad_8x8")
    wide = {}
    for name, tensor in state.items():
        stem, _, end = name.rpartition("skip_linear.")
        if not stem:
            wide[name] = tensor
        for i in (0, 1) if stem else ():
            part = tensor.chunk(2, 1)[i] if end == "weight" else tensor * (0.25 + 0.5 * i)
            wide[f"{stem}skip_linear.{i}.{end}"] = part.contiguous()
    assert_same(to_official("dim", load_official("dim", wide, **settings))[0], wide)


SHIPPED = ["dim_s_cifar", "uvit_s_cifar", "uvit_h_imagenet256", "uvit_s_coco", "dit_s4_imagenet256",
           "dis_s_imagenet256", "zigma_s_latent256", "zigma_b_ucf101", "zigma_b_faceshq1024"]  # fmt: skip


def shipped(name: str):
    """A shipped recipe with few, narrow blocks, and its backbone."""
    small = ["backbone.width=64", "backbone.depth=3"]
    heads = ["backbone.mixer.heads=4"] if name.startswith(("uvit", "dit")) else []
    recipe = zoo.load_recipe(name, small + heads)
    *frames, channels, height, width = recipe["shape"]
    recipe = recipe.override([f"shape={[*frames, channels, height // 4, width // 4]}"])
    backbone = zoo.build(recipe)
    backbone.recipe = recipe
    return backbone


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_is_the_published_network(name):
    """Its weights go out, and what the shapes tell on the way back is the recipe's own backbone."""
    backbone = shipped(name)
    family = {"uvit": "u-vit"}.get(name.partition("_")[0], name.partition("_")[0])
    back, told = to_official(family, backbone)
    again = load_official(family, back, **told)
    assert_same({n: t for n, t in again.state_dict().items()}, backbone.state_dict())
    named = load_official(family, back, recipe=backbone.recipe)
    assert named.recipe.hash == backbone.recipe.hash and named.recipe["process"] == backbone.recipe["process"]


@pytest.mark.parametrize("name, change, words", [
    ("dit_s4_imagenet256", "backbone.feedforward.activation=gelu", "activation is gelu, published gelu_tanh"),
    ("dit_s4_imagenet256", "backbone.skip=long_concat", "no place for"),
    ("dit_s4_imagenet256", "backbone.feedforward=none", "has nothing for it"),
    ("zigma_s_latent256", "backbone.scan.use=four_way", "four_way"),
    ("zigma_s_latent256", "backbone.block=prenorm", "block is .*prenorm"),
    ("dim_s_cifar", "backbone.mixer.discretization=zoh", "discretization is zoh, published euler"),
])  # fmt: skip
def test_what_published_code_would_compute_differently_is_refused(name, change, words):
    backbone = shipped(name)
    recipe = backbone.recipe.override([change])
    other = zoo.build(recipe)
    with pytest.raises(CheckpointError, match=words):
        to_official(name.partition("_")[0], other, recipe)


def test_a_recipe_of_another_network_is_refused():
    settings, state = published("dit", "tiny")
    with pytest.raises(CheckpointError, match=r"is not the dit network of these weights.*width"):
        load_official("dit", state, recipe="dit_s4_imagenet256", **settings)


def test_names_of_no_family_are_refused():
    with pytest.raises(CheckpointError, match="not the names of a published family: a, b"):
        family_of({"a": torch.zeros(1), "b": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="no published dit state dict"):
        load_official("dit", {"a": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="did you mean 'zigma'"):
        load_official("zigmas", {})
