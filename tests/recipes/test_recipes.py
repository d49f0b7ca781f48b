"""Every shipped recipe has its published size, builds without memory, and learns when shrunk."""

from __future__ import annotations

import math

import pytest
import torch
from shrunken import shrunk, two_steps

from zoo.builder import build, summary
from zoo.recipe import load_recipe, recipes

PARAMETERS = {  # published, or counted from published code
    "dim_s_cifar": 50_568_716,
    "dim_l_imagenet256": 386_063_376,
    "dim_h_imagenet256": 862_407_184,
    "dim_h_imagenet512": 863_586_832,
    "uvit_s_cifar": 44_255_328,
    "uvit_s_celeba64": 44_292_228,
    "uvit_m_imagenet64": 130_940_292,
    "uvit_l_imagenet64": 286_827_652,
    "uvit_l_imagenet256": 286_763_172,
    "uvit_h_imagenet256": 500_832_016,
    "uvit_l_imagenet512": 286_861_524,
    "uvit_h_imagenet512": 500_942_656,
    "uvit_s_coco": 44_692_644,
    "uvit_s_deep_coco": 58_345_636,
}
MULTIPLY_ADDS = {  # true, and as the papers counted; 10^9
    "dim_s_cifar": (18.097657856, 11.904352256),
    "dim_l_imagenet256": (139.095257088, 93.661691904),
    "dim_h_imagenet256": (310.6128384, 210.728779776),
    "dim_h_imagenet512": (1043.841042432, 708.165107712),
    "uvit_s_cifar": (12.200808448, None),
    "uvit_l_imagenet256": (76.45622272, None),
    "uvit_h_imagenet512": (133.225141248, None),
    "uvit_s_coco": (16.229715968, None),
}


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_takes_two_steps_and_changes_every_weight_that_it_should(name):
    backbone, before, losses = two_steps(shrunk(name))
    assert all(map(math.isfinite, losses))
    still = [k for k, v in backbone.state_dict().items() if torch.equal(v, before[k])]
    assert not [k for k in still if not k.endswith("empty")], "these did not learn"


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_the_published_number(name):
    assert summary(name)["parameters"] == PARAMETERS[name]


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_exact_in_both_ways_of_counting(name):
    true, paper = MULTIPLY_ADDS[name]
    counted, recipe = summary(name), load_recipe(name)
    prefix = build_tokens(recipe) if "uvit" in name else 0  # published U-ViT projects them, then drops them; we do not
    values = recipe["shape"][0] * recipe.get("backbone.patch.size") ** 2
    assert counted["macs"] == round(true * 1e9) - prefix * recipe.get("backbone.width") * values
    assert counted["paper_macs"] == (paper and round(paper * 1e9))


def build_tokens(recipe) -> int:
    with torch.device("meta"):
        return build(recipe).conditioning.count


@pytest.mark.parametrize("plain, dim", [("mamba_s_cifar", "dim_s_cifar"), ("mamba_h_imagenet256", "dim_h_imagenet256")])
def test_plain_mamba_has_the_parameters_of_the_dim_it_is_compared_with(plain, dim):
    assert summary(plain)["parameters"] == pytest.approx(PARAMETERS[dim], rel=0.01)


@pytest.mark.parametrize("name", [n for n in recipes() if load_recipe(n)["ablate"]])
def test_every_named_ablation_builds(name):
    recipe = shrunk(name)
    whole = sum(p.numel() for p in build(recipe).parameters())
    for ablation in recipe["ablate"]:
        changed = recipe.ablated(ablation)
        parameters = sum(p.numel() for p in build(changed).parameters())
        only_scans = all(key.startswith("backbone.scan") for key, *_ in recipe.diff(changed))
        assert parameters == whole if only_scans else parameters < whole
