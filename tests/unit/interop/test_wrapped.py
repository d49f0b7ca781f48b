"""Whatever a training program wraps around published weights comes off; what is missing or strange is named."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

import zoo
from zoo.errors import CheckpointError
from zoo.interop import family_of, load_official, read_official, to_official
from zoo.interop.read import unwrapped

RECIPES = {"dim": "dim_s_cifar", "u-vit": "uvit_s_cifar", "dit": "dit_s4_imagenet256", "dis": "dis_s_imagenet256",
           "zigma": "zigma_s_latent256"}  # fmt: skip
SMALL = ["backbone.width=32", "backbone.depth=3"]


def published(family: str, *overrides: str):
    """A small model with weights that are not zero, and what its family would publish."""
    recipe = zoo.load_recipe(RECIPES[family], SMALL + list(overrides))
    channels, _, _ = recipe["shape"]
    heads = ["backbone.mixer.heads=2"] if family in ("u-vit", "dit") else []
    recipe = recipe.override([f"shape=[{channels}, 16, 16]", *heads])
    torch.manual_seed(0)
    backbone = zoo.build(recipe)
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.1)
    return backbone, *to_official(family, backbone, recipe)


class Holder(nn.Module):
    """A network that holds tensors under any names."""

    def __init__(self, state):
        super().__init__()
        for name, tensor in state.items():
            *path, last = name.split(".")
            place: nn.Module = self
            for step in path:
                if not hasattr(place, step):
                    place.add_module(step, nn.Module())
                place = place.get_submodule(step)
            place.register_buffer(last, tensor)


STATE = {"pos_embed": torch.ones(2), "blocks.0.norm.weight": torch.zeros(3)}


def named(pattern: str, state=STATE) -> dict[str, torch.Tensor]:
    return {pattern.format(name): tensor for name, tensor in state.items()}


TRAINED = {name: tensor + 7 for name, tensor in STATE.items()}
WRAPPED = {
    "plain": STATE,
    "DDP": named("module.{}"),
    "compiled": named("_orig_mod.{}"),
    "compiled under DDP": named("module._orig_mod.{}"),
    "DDP under a compiler": named("_orig_mod.module.{}"),
    "a block compiled": {k.replace("blocks.0.", "blocks.0._orig_mod."): v for k, v in STATE.items()},
    "a network inside": named("model.{}"),
    "torch's average": torch.optim.swa_utils.AveragedModel(Holder(STATE)).state_dict(),
    "DiT's checkpoint": {"model": TRAINED, "ema": STATE, "opt": {"state": {0: {"step": torch.ones(1)}}}, "args": None},
    "an average inside": {"step": 3, "ema": {"decay": 0.9, "shadow": named("module.{}")}},
    "flat, both": {**named("model.{}", TRAINED), **named("ema_model.{}")},
    "Lightning": {"state_dict": {**named("net.{}", TRAINED), **named("ema.module.{}")}, "epoch": 4},
    "timm": {"state_dict": TRAINED, "state_dict_ema": STATE},
}


@pytest.mark.parametrize("how", WRAPPED)
def test_wrappers_come_off_and_averages_are_preferred(how):
    found = unwrapped(WRAPPED[how])
    assert found.keys() == STATE.keys() and all(torch.equal(found[k], STATE[k]) for k in STATE)


@pytest.mark.parametrize("how", ["DiT's checkpoint", "flat, both", "Lightning", "timm"])
def test_without_averages_the_trained_weights_are_taken(how):
    found = unwrapped(WRAPPED[how], ema=False)
    assert found.keys() == STATE.keys() and all(torch.equal(found[k], TRAINED[k]) for k in STATE)
    assert unwrapped({"ema": STATE}, ema=False) == {}


def test_a_tensor_outside_the_wrapper_is_not_lost():
    assert unwrapped({**named("model.{}"), "strange": torch.ones(1)}).keys() == {*named("model.{}"), "strange"}


@pytest.mark.parametrize("family", RECIPES)
def test_every_family_loads_wrapped_and_in_half_precision(family, tmp_path):
    _, state, hints = published(family)
    half = {f"module._orig_mod.{name}": tensor.to(torch.bfloat16) for name, tensor in state.items()}
    torch.save({"model": {}, "ema": half}, tmp_path / "a.pt")
    for given in (half, {"ema": half}, read_official(tmp_path / "a.pt")):
        backbone = load_official(family, given, **hints)
        back = to_official(family, backbone)[0]
        assert back.keys() == state.keys()
        for name, tensor in state.items():  # widened, nothing else
            assert back[name].dtype == torch.float32
            assert torch.equal(back[name], tensor.to(torch.bfloat16).float()), name


@pytest.mark.parametrize("family", RECIPES)
def test_whatever_is_missing_is_named_and_never_a_crash(family):
    _, state, hints = published(family)
    for name in [n for n in state if not re.search(r"blocks\.[1-9]", n)]:
        rest = {k: v for k, v in state.items() if k != name}
        with pytest.raises(CheckpointError, match=r"no whole|it has no|nothing for|there is no|shapes"):
            load_official(family, rest, **hints)


@pytest.mark.parametrize("family", RECIPES)
def test_what_is_strange_is_named_with_what_lacks(family):
    _, state, hints = published(family)
    last = next(name for name in reversed(state) if "blocks.1." in name or "mid_block." in name)
    state["blocks.0.wrong"] = state.pop(last)
    with pytest.raises(CheckpointError, match=r"no place for \[.*wrong"):
        load_official(family, state, **hints)


@pytest.mark.parametrize("family", RECIPES)
def test_a_tensor_of_another_shape_is_refused(family):
    _, state, hints = published(family)
    once = [n for n in state if "block" not in n and "label" not in n and "y_emb" not in n]  # other classes are told
    for name in [*once, next(n for n in state if "block" in n)]:
        with pytest.raises(CheckpointError):
            load_official(family, {**state, name: torch.cat([state[name], state[name]])}, **hints)


SIZES = [
    ("dim", ["backbone.width=48", "backbone.depth=5", "backbone.patch.size=4", "backbone.mixer.state=8",
             "backbone.conditioning.embed.label.classes=7", "backbone.conditioning.embed.label_adaln.classes=7"]),
    ("u-vit", ["backbone.width=24", "backbone.depth=5", "backbone.patch.size=4", "backbone.mixer.bias=true",
               "backbone.feedforward.ratio=2"]),
    ("dit", ["backbone.width=48", "backbone.patch.size=8", "backbone.conditioning.embed.label.classes=3",
             "backbone.feedforward.ratio=3"]),
    ("dis", ["backbone.width=40", "backbone.depth=7", "backbone.patch.size=4", "backbone.mixer.state=4",
             "backbone.conditioning.embed.label.null=false"]),
    ("zigma", ["backbone.width=24", "backbone.depth=10", "backbone.patch.size=1", "backbone.mixer.conv=3",
               "backbone.mixer.expand=1", "backbone.mixer.dt_rank=5", "backbone.scan.count=3"]),
]  # fmt: skip


@pytest.mark.parametrize("family, sizes", SIZES, ids=[family for family, _ in SIZES])
def test_shapes_tell_width_depth_patch_classes_and_the_rest(family, sizes):
    backbone, state, hints = published(family, *sizes)
    told = load_official(family, state, **hints)
    assert family_of(state) == family
    ours, theirs = told.state_dict(), backbone.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_a_uvit_whose_labels_have_no_null_class_is_its_own_recipe():
    recipe = zoo.load_recipe("uvit_m_imagenet64", ["backbone.width=32", "backbone.depth=3", "backbone.mixer.heads=2",
                                                   "shape=[3, 16, 16]"])  # fmt: skip
    state, hints = to_official("u-vit", zoo.build(recipe), recipe)
    assert hints["null_class"] is False and load_official("u-vit", state, recipe).recipe.hash == recipe.hash
