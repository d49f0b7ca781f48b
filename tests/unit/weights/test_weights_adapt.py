"""Weights of one network as the start of another."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from shrunken import shipped

from zoo.builder import build
from zoo.recipe import load_recipe, recipes
from zoo.weights.adapt import adapt

SMALL = ["backbone.width=16", "backbone.depth=3", "backbone.mixer.state=4"]


@pytest.fixture
def network():
    """network("shape=[3, 8, 8]", ...): a small DiM with random weights everywhere."""

    def make(*overrides: str):
        backbone = build(load_recipe("dim_s_cifar", [*SMALL, "shape=[3, 16, 16]", *overrides]))
        for parameter in backbone.parameters():
            torch.nn.init.normal_(parameter)
        return backbone

    return make


def moved(source, target) -> tuple[dict, object]:
    """State before, and what became of it."""
    saved = copy.deepcopy(source.state_dict())
    return saved, adapt(target, saved)


def test_a_larger_grid_resizes_positions_and_takes_all_else(network):
    small, large = network(), network("shape=[3, 32, 48]")
    saved, done = moved(small, large)
    assert done.adapted == ["position.table 8x8x16 -> 16x24x16"] and not done.reset and not done.dropped
    expected = F.interpolate(saved["position.table"].permute(2, 0, 1)[None], (16, 24), mode="bilinear")
    torch.testing.assert_close(large.position.table.data, expected[0].permute(1, 2, 0))
    rest = [name for name in saved if name != "position.table"]
    assert all(torch.equal(large.state_dict()[name], saved[name]) for name in rest) and len(done.taken) == len(rest)


def test_at_the_same_size_both_compute_the_same(network):
    source, target = network(), network()
    adapt(target, source.state_dict())
    x, t, y = torch.randn(2, 3, 16, 16), torch.rand(2), torch.tensor([0, 3])
    assert torch.equal(source(x, t, y), target(x, t, y))


def test_other_classes_start_anew_and_the_null_class_stays(network):
    source = network()
    target = network(*(f"backbone.conditioning.embed.{e}.classes=4" for e in ("label", "label_adaln")))
    fresh = target.conditioning.embed["label"].weight.clone()
    _, done = moved(source, target)
    assert [line.split()[0] for line in done.adapted] == [
        "conditioning.embed.label.weight", "conditioning.embed.label_adaln.weight"]
    table = target.conditioning.embed["label"].weight
    assert torch.equal(table[-1], source.conditioning.embed["label"].weight[-1]) and torch.equal(table[:-1], fresh[:-1])


def test_a_new_channel_is_ignored_at_first(network):
    source, target = network(), network("shape=[4, 16, 16]")
    _, done = moved(source, target)
    assert any("patch.proj.weight" in line for line in done.adapted) and any("head.proj" in line for line in done.reset)
    x = torch.randn(2, 4, 16, 16)
    tokens = [patch(image[:, None])[0] for patch, image in ((source.patch, x[:, :3]), (target.patch, x))]
    torch.testing.assert_close(*tokens)


def test_pads_repeat_when_there_are_more_of_them(network):
    source, target = network("backbone.padding.count=1"), network("backbone.padding.count=3")
    moved(source, target)
    assert torch.equal(target.padding.pads, source.padding.pads.expand(3, -1))


def test_other_parts_are_dropped_or_start_anew_and_listed(network):
    source, target = network(), network("backbone.padding=none", "backbone.depth=5")
    _, done = moved(source, target)
    assert {line.split()[0] for line in done.dropped} >= {"padding.pads", "padding.separators"}
    assert any(line.startswith("blocks.4.") for line in done.reset)
    lines = list(done.lines())
    assert "tensors taken as they are" in lines[0] and any("more" in line for line in lines)
    assert len(done.taken) + len(done.adapted) + len(done.reset) == len(target.state_dict())


@pytest.mark.parametrize("name", [n for n in recipes() if shipped(n).get("train.init_from")])
def test_every_chain_of_recipes_fits_together(name):
    source = shipped(name).get("train.init_from").removeprefix("runs/")
    with torch.device("meta"):
        before, after = build(source), build(name)
    shapes = {key: tensor.shape for key, tensor in before.state_dict().items()}
    other = [key for key, tensor in after.state_dict().items() if shapes.get(key) != tensor.shape]
    assert shapes.keys() == after.state_dict().keys() and other == ["position.table"]


def test_three_recipes_of_the_paper_begin_with_a_smaller_one():
    assert {"dim_h_imagenet512", "dim_l_ffhq512", "dim_l_ffhq1024"} <= {
        n for n in recipes() if shipped(n).get("train.init_from")}  # fmt: skip
