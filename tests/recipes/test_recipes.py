"""Every shipped recipe has its published size, builds without memory, and learns when shrunk."""

from __future__ import annotations

import math

import pytest
import torch
from shrunken import distinct, shipped, shrunk, two_steps

from zoo.builder import build, summary
from zoo.recipe import recipes

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
    "dit_s2_imagenet256": 32_963_360,
    "dit_s4_imagenet256": 32_945_024,
    "dit_s8_imagenet256": 33_148_160,
    "dit_b2_imagenet256": 130_512_416,
    "dit_b4_imagenet256": 130_475_648,
    "dit_b8_imagenet256": 130_881_536,
    "dit_l2_imagenet256": 458_102_816,
    "dit_l4_imagenet256": 458_053_760,
    "dit_l8_imagenet256": 458_594_816,
    "dit_xl2_imagenet256": 675_129_632,
    "dit_xl4_imagenet256": 675_074_432,
    "dit_xl8_imagenet256": 675_683_072,
    "dit_xl2_imagenet512": 676_014_368,
}
ROUNDED = {  # millions, as counted from published code
    "dis_s_imagenet256": 29.1,
    "dis_b_imagenet256": 121.2,
    "dis_m_imagenet256": 231.4,
    "dis_l_imagenet256": 407.2,
    "dis_h_imagenet256": 907.0,
    "zigma_s_latent256": 31.4,
    "zigma_b_latent256": 134.1,
    "zigma_m_latent256": 267,
    "zigma_l_latent256": 473,
    "zigma_h_latent256": 1059,
    "zigma_b_celeba256": 134.6,
    "zigma_b_coco256": 215.5,
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
    "dit_s8_imagenet256": (0.357974016, None),
    "dit_b4_imagenet256": (5.565186048, None),
    "dit_l2_imagenet256": (80.697622528, None),
    "dit_xl2_imagenet256": (118.621421568, None),
    "dit_xl2_imagenet512": (524.538298368, None),
}


@pytest.mark.parametrize("name", recipes())
def test_a_recipe_takes_two_steps_and_changes_every_weight_that_it_should(name):
    _, still, losses = two_steps(shrunk(name))
    assert all(map(math.isfinite, losses))
    assert not still, "these did not learn"


@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - MULTIPLY_ADDS.keys()))  # of those, both are counted below
def test_parameters_are_the_published_number(name):
    assert parameters(shipped(name)) == PARAMETERS[name]


def parameters(recipe) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build(recipe).parameters())


@pytest.mark.parametrize("name", ROUNDED)
def test_parameters_are_the_published_millions(name):
    half_a_digit = 0.05 if isinstance(ROUNDED[name], float) else 0.5
    assert parameters(shipped(name)) / 1e6 == pytest.approx(ROUNDED[name], abs=half_a_digit)


def test_the_bidirectional_zigma_has_the_published_parameters():
    recipe = shipped("zigma_b_celeba256").ablated("vision_mamba")
    assert parameters(recipe) / 1e6 == pytest.approx(140.2, abs=0.05)


@pytest.mark.parametrize("name", MULTIPLY_ADDS)
def test_multiply_adds_are_exact_in_both_ways_of_counting(name):
    true, paper = MULTIPLY_ADDS[name]
    counted, recipe = summary(name), shipped(name)
    assert counted["parameters"] == PARAMETERS[name]
    prefix = build_tokens(recipe) if "uvit" in name else 0  # published U-ViT projects them, then drops them; we do not
    values = recipe["shape"][0] * recipe.get("backbone.patch.size") ** 2
    assert counted["macs"] == round(true * 1e9) - prefix * recipe.get("backbone.width") * values
    assert counted["paper_macs"] == (paper and round(paper * 1e9))


def build_tokens(recipe) -> int:
    with torch.device("meta"):
        return build(recipe.override(["backbone.depth=3"])).conditioning.count


@pytest.mark.parametrize("other, dim", [("mamba_s_cifar", "dim_s_cifar"), ("mamba_h_imagenet256", "dim_h_imagenet256"),
                                        ("hybrid_s_cifar", "dim_s_cifar")])  # fmt: skip
def test_what_is_compared_with_dim_has_its_parameters(other, dim):
    assert parameters(shipped(other)) == pytest.approx(PARAMETERS[dim], rel=0.01)


@pytest.mark.parametrize("name", distinct([n for n in recipes() if shipped(n)["ablate"]], "ablate"))
def test_every_named_ablation_builds(name):
    recipe = shrunk(name)
    whole = sum(p.numel() for p in build(recipe).parameters())
    for ablation in recipe["ablate"]:
        changed = recipe.ablated(ablation)
        rest = sum(p.numel() for p in build(changed).parameters())
        scans_only = all(key.startswith("backbone.scan") for key, *_ in recipe.diff(changed))
        assert rest == whole if scans_only else rest != whole


def test_recipes_of_guided_latents_carry_the_published_settings_as_presets():
    """FID scales are 1 + s for DiM and U-ViT (s 0.4, 0.7 and 1.0), DiT's own w for DiT and DiS; pictures 4.0."""
    latent = [r for r in map(shipped, recipes()) if r["autoencoder"]["use"] == "kl"]
    guided = [r for r in latent if r["guidance"]["use"] == "cfg"]
    assert len(guided) > 30
    for recipe in guided:
        chain = recipe["process"].get("variance") == "learned_range"
        fid = 1.5 if chain else 2.0 if "coco" in recipe.name else 1.7 if recipe["shape"][-1] == 64 else 1.4
        for preset, scale in (("fid", fid), ("picture", 4.0)):
            drawn = recipe.preset(preset)
            assert drawn["guidance"]["scale"] == scale, (recipe.name, preset)
            assert drawn["guidance"]["channels"] == (3 if chain else None), recipe.name


def test_latents_name_the_autoencoder_that_decodes_them():
    for recipe in map(shipped, recipes()):
        assert (recipe["autoencoder"]["use"] == "kl") == (recipe["shape"][-3] == 4), recipe.name
