"""Image i depends on the seed, i and its labels; on nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import zoo
from zoo.builder import build_backbone
from zoo.errors import ShapeError, ZooError
from zoo.sampling.api import pick_precision
from zoo.sampling.generate import generate, to_uint8
from zoo.sampling.size import start_shape

INDICES = list(range(16))


def drawn(backbone, recipe, indices=INDICES, **options) -> dict[int, np.ndarray]:
    return dict(generate(backbone, recipe, indices, **options))


def same(a: dict, b: dict) -> float:
    """The share of pixels that agree over the images in both."""
    return float(np.mean([a[i] == b[i] for i in a.keys() & b.keys()]))


@pytest.mark.parametrize("sampler", [
    "{use: euler_maruyama, steps: 6}", "{use: euler, steps: 6}", "{use: dpm_solver, steps: 6}",
    "{use: dopri5, rtol: 0.05, atol: 0.001, end: 0.05}", "{use: dpm_solver_adaptive, rtol: 0.2, end: 0.05}",
])  # fmt: skip
def test_the_batch_size_changes_no_image(backbone, recipe, sampler):
    changed = recipe.override([f"sampler={sampler}"])
    one, three, all_at_once = (drawn(backbone, changed, batch=b) for b in (1, 3, 16))
    assert same(one, three) >= 0.9999 and same(one, all_at_once) >= 0.9999
    assert len(np.unique(np.stack(list(one.values())))) > 50, "the images are too flat for this to mean much"


def test_any_subset_in_any_order_gives_the_same_images(backbone, recipe):
    whole = drawn(backbone, recipe)
    some = list(generate(backbone, recipe, [11, 2, 7], batch=2))
    assert [i for i, _ in some] == [11, 2, 7] and same(whole, dict(some)) >= 0.9999


def test_images_seeds_and_classes_differ(backbone, recipe):
    a, b = drawn(backbone, recipe, seed=0), drawn(backbone, recipe, seed=1)
    assert same(a, b) < 0.5 and np.mean(a[0] == a[4]) < 0.5
    other = drawn(backbone, recipe, [0], labels={"label": [3]})
    assert np.mean(a[0] == other[0]) < 0.99


def test_without_labels_classes_come_in_turn(backbone, recipe):
    turn = drawn(backbone, recipe)
    given = drawn(backbone, recipe, labels={"label": [i % 4 for i in INDICES]})
    assert same(turn, given) == 1.0


def test_a_recipe_trained_without_labels_gets_the_null_class(backbone, recipe):
    free = recipe.override(["guidance=none", "data={use: cifar10, labels: []}"])
    null = drawn(backbone, free, [1])
    assert np.mean(null[1] == drawn(backbone, recipe.override(["guidance=none"]), [1])[1]) < 0.99


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (16, 6)])
def test_oblong_images_come_out_as_asked(backbone, recipe, size):
    (_, image), = generate(backbone, recipe, [0], size=size)
    assert image.shape == (*size, 3) and image.dtype == np.uint8


@pytest.mark.parametrize(("size", "near"), [((7, 8), "6x8 or 8x8"), ((9, 13), "8x12 or 10x14"), ((0, 8), "2x8")])
def test_a_size_that_does_not_fit_names_the_nearest(backbone, recipe, size, near):
    with pytest.raises(ShapeError, match=f"use {near}"):
        generate(backbone, recipe, [0], size=size)


def test_the_size_is_in_pixels_behind_an_autoencoder(backbone, recipe):
    class Eightfold:
        factor = 8

    assert start_shape(backbone, recipe, Eightfold, (64, 96)) == (3, 8, 12)
    assert start_shape(backbone, recipe, Eightfold, None) == (3, 8, 8)
    with pytest.raises(ShapeError, match=r"multiple of 16.*use 64x64 or 80x64"):
        start_shape(backbone, recipe, Eightfold, (72, 64))


def test_latents_without_their_autoencoder_are_refused(recipe):
    latent = recipe.override(["shape=[4,8,8]"])
    with pytest.raises(ShapeError, match="4 channels"):
        generate(build_backbone(latent), latent, [0])


def test_a_video_keeps_its_frames(recipe):
    video = recipe.override(["shape=[2,3,8,8]"])
    (_, frames), = generate(build_backbone(video), video, [0], size=(4, 8))
    assert frames.shape == (2, 4, 8, 3)


@pytest.mark.parametrize(("labels", "message"), [
    ({"label": [4]}, "no class 4.*0..3"), ({"label": [-1]}, "no class -1"), ({"label": [0, 1]}, "2 labels for 1"),
    ({"labels": [0]}, "no input 'labels'; did you mean 'label'"), ({"label": [0.5]}, "whole numbers"),
    ({"label": 2}, "1 labels|labels for"),
])  # fmt: skip
def test_labels_that_do_not_fit_are_refused_before_sampling(backbone, recipe, labels, message):
    with pytest.raises(ZooError, match=message):
        generate(backbone, recipe, [0] if labels != {"label": 2} else [0, 1], labels=labels)


def test_guidance_without_labels_is_refused(backbone, recipe):
    with pytest.raises(ZooError, match="guidance needs labels"):
        generate(backbone, recipe.override(["data={use: cifar10, labels: []}"]), [0])


def test_a_broken_network_gives_an_error_and_no_image(backbone, recipe):
    import copy

    broken = copy.deepcopy(backbone)
    torch.nn.init.constant_(next(broken.head.parameters()), float("nan"))
    with pytest.raises(ZooError, match=r"not finite for images \[0, 1\]"):
        list(generate(broken, recipe, [0, 1]))


def test_training_goes_on_as_before(backbone, recipe):
    backbone.train()
    backbone.head.eval()
    modes = [m.training for m in backbone.modules()]
    state = torch.get_rng_state()
    images = generate(backbone, recipe, [0, 1, 2], batch=1)
    next(images)
    assert [m.training for m in backbone.modules()] == modes and torch.equal(torch.get_rng_state(), state)
    loss = backbone(torch.randn(1, 3, 8, 8), torch.rand(1), torch.tensor([0])).square().mean()
    loss.backward()
    backbone.zero_grad(set_to_none=True)
    backbone.eval()


def test_a_precision_that_is_none_is_refused(backbone, recipe):
    with pytest.raises(ZooError, match="did you mean 'bf16'"):
        generate(backbone, recipe, [0], precision="bf61")


def test_precision_is_that_of_training_on_a_gpu_and_full_elsewhere(recipe):
    trained = recipe.override(["train.precision=bf16"])
    assert pick_precision("auto", torch.device("cuda"), trained) == "bf16"
    assert pick_precision("auto", torch.device("cpu"), trained) == "fp32"
    assert pick_precision("tf32", torch.device("cpu"), trained) == "tf32"


def test_sampling_leaves_the_number_formats_of_the_process_alone(backbone, recipe):
    torch.set_float32_matmul_precision("high")
    try:
        drawn(backbone, recipe, [0], precision="fp32")
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_api_takes_presets(weights):
    plain, strong, same_again = (
        zoo.sample(weights, n=1, device="cpu", **more)[0]
        for more in ({}, {"preset": "strong"}, {"overrides": ["guidance.scale=4"]})
    )
    assert np.array_equal(strong, same_again) and not np.array_equal(plain, strong)


def test_steps_are_heard(backbone, recipe):
    heard = []
    drawn(backbone, recipe, range(3), batch=2, on_step=lambda i, n, x: heard.append((i, n, len(x))))
    assert heard == [(i, 4, b) for b in (2, 1) for i in range(4)]


def test_rounding_to_bytes():
    levels = torch.arange(256.0) / 127.5 - 1
    assert to_uint8(levels.view(1, 1, 16, 16)).ravel().tolist() == list(range(256))
    edges = torch.tensor([-9.0, -1.0, 0.0, 1.0, 9.0]).view(1, 1, 1, 5)
    assert to_uint8(edges).ravel().tolist() == [0, 0, 128, 255, 255]
