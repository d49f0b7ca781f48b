"""diffusers' AutoencoderKL behind our interface: moments, scale, tiles, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.autoencoders.kl import KL
from zoo.builder import build_backbone, factory
from zoo.cli.sample import main
from zoo.errors import CheckpointError, ShapeError, ZooError
from zoo.recipe import Recipe
from zoo.sampling.generate import generate
from zoo.weights.load import save_pretrained

diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny autoencoder, factor 2, with random weights, as a folder."""
    torch.manual_seed(0)
    made = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, scaling_factor=0.25,
        up_block_types=("UpDecoderBlock2D",) * 2, layers_per_block=1, latent_channels=4, norm_num_groups=4,
        sample_size=16,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("vae")
    made.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def reference(folder):
    return diffusers.AutoencoderKL.from_pretrained(folder, low_cpu_mem_usage=False).eval()


def kl(folder, **fields):
    return KL(**{"path": str(folder), "factor": 2, "tile": 0, **fields})


def images(batch=2, height=16, width=24):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


@torch.no_grad()
def test_moments_latents_and_images_are_the_library_s(folder, reference):
    ours, x = kl(folder), images()
    posterior = reference.encode(x).latent_dist
    moments = ours.moments(x)
    assert moments.shape == (2, 8, 8, 12)
    torch.testing.assert_close(moments, torch.cat([posterior.mean, posterior.logvar], 1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.encode(x), 0.25 * posterior.mean, atol=1e-5, rtol=1e-5)
    latents = ours.encode(x)
    torch.testing.assert_close(ours.decode(latents), reference.decode(4 * latents).sample, atol=1e-5, rtol=1e-5)


def test_samples_have_the_mean_and_deviation_of_their_moments():
    mean, log_variance = torch.tensor([0.5, -1.0]), torch.tensor([-2.0, 1.0])
    moments = torch.cat([mean, log_variance]).reshape(1, 4, 1, 1).expand(1, 4, 200, 200)
    ours = KL(scale=2.0)
    ours.model = type("Stub", (), {"config": type("C", (), {"shift_factor": 0.1})})  # no network takes part
    drawn = ours.sample(moments, torch.randn(1, 2, 200, 200, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(drawn.mean((0, 2, 3)), 2 * (mean - 0.1), atol=0.05, rtol=0)
    torch.testing.assert_close(drawn.std((0, 2, 3)), 2 * (log_variance / 2).exp(), atol=0.05, rtol=0)
    assert torch.equal(ours.sample(moments)[0, :, 0, 0], 2 * (mean - 0.1))


def test_a_scale_of_the_recipe_comes_first(folder):
    x = images()
    torch.testing.assert_close(kl(folder, scale=0.5).encode(x), 2 * kl(folder).encode(x))
    latents = kl(folder).encode(x)
    torch.testing.assert_close(kl(folder, scale=0.5).decode(2 * latents), kl(folder).decode(latents))


def test_an_image_does_not_depend_on_its_batch(folder):
    ours, latents = kl(folder), torch.randn(3, 4, 8, 8)
    assert torch.equal(ours.decode(latents)[1:2], ours.decode(latents[1:2]))


@pytest.mark.parametrize("size", [(40, 24), (16, 34), (66, 16)])
def test_tiles_keep_size_and_content_and_leave_small_images_alone(folder, size):
    whole, tiled = kl(folder), kl(folder, tile=16)
    small, large = torch.randn(1, 4, 8, 8), torch.randn(1, 4, size[0] // 2, size[1] // 2)
    assert torch.equal(tiled.decode(small), whole.decode(small))
    a, b = whole.decode(large), tiled.decode(large)
    assert b.shape == a.shape == (1, 3, *size)
    difference, signal = (a - b).square().mean().sqrt(), a.std()
    assert 0 < difference < 0.5 * signal  # norms see a tile where they saw the image; nothing is displaced
    assert tiled.moments(torch.zeros(1, 3, *size)).shape == whole.moments(torch.zeros(1, 3, *size)).shape


def test_tiles_meet_without_a_seam(folder):
    smooth = torch.linspace(-1, 1, 32).reshape(1, 1, 1, 32).expand(1, 4, 32, 32).contiguous()
    columns = kl(folder, tile=32).decode(smooth)[0].diff(dim=-1).abs().mean((0, 1))
    whole = kl(folder).decode(smooth)[0].diff(dim=-1).abs().mean((0, 1))
    inner = slice(4, -4)
    assert columns[inner].max() < 2 * whole[inner].max(), "a step where tiles meet"


def test_frames_are_decoded_one_by_one(folder):
    ours, latents = kl(folder), torch.randn(2, 3, 4, 8, 8)
    video = ours.decode(latents)
    assert video.shape == (2, 3, 3, 16, 16)
    assert torch.equal(video[1, 2:], ours.decode(latents[1, 2:]))


def test_frames_are_encoded_one_by_one(folder):
    ours, clips = kl(folder), torch.stack([images(3), images(3)])
    latents = ours.encode(clips)
    assert latents.shape == (2, 3, 4, 8, 12)
    assert torch.equal(latents[1, 2:], ours.encode(clips[1, 2:]))


def test_bfloat16_around_it_changes_nothing(folder):
    ours, latents = kl(folder), torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours.decode(latents), kl(folder).decode(latents))


@pytest.mark.parametrize(("fields", "error", "words"), [
    ({"factor": 8}, CheckpointError, "factor 2 and 4 channels.*autoencoder.factor=2"),
    ({"latents": 16}, CheckpointError, "autoencoder.latents=4"),
    ({"path": "nowhere/at-all/here"}, CheckpointError, "cannot be read"),
    ({"tile": 33}, ZooError, "multiple"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(folder, fields, error, words):
    with pytest.raises(error, match=words):
        kl(folder, **fields).load(torch.device("cpu"))


def test_a_pickle_is_not_opened(folder, tmp_path, reference):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(reference.state_dict(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(CheckpointError):
        kl(tmp_path).load(torch.device("cpu"))


def test_a_side_that_does_not_divide_is_refused(folder):
    with pytest.raises(ShapeError, match="15x16"):
        kl(folder).encode(images(1, 15, 16))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(ZooError, match=r"backbone-zoo\[vae\]"):
        KL().load(torch.device("cpu"))


LATENT = """
shape: [4, 8, 8]
sampler: {{use: dpm_solver, steps: 3}}
autoencoder: {{use: kl, path: {path}, factor: 2}}
backbone: {{width: 16, depth: 1, mixer: {{use: attention, heads: 2}}, norm: layer}}
"""


def test_latents_become_pictures_of_the_right_size(folder):
    recipe = Recipe.from_text(LATENT.format(path=folder))
    ((_, image),) = generate(build_backbone(recipe), recipe, [0], size=(16, 32))
    assert image.shape == (16, 32, 3)


def test_zoo_sample_decodes_large_images_in_tiles(folder, tmp_path):
    recipe = Recipe.from_text(LATENT.format(path=folder))
    save_pretrained(build_backbone(recipe), tmp_path / "model", recipe)
    drawn = {}
    for out, tile in (("whole", 0), ("tiled", 16), ("again", 16)):
        words = [str(tmp_path / "model"), "--out", str(tmp_path / out), "--device", "cpu", "-n", "3", "--size", "32x48"]
        assert main([*words, "--batch", "3" if out == "tiled" else "2", f"autoencoder.tile={tile}"]) == 0
        assert json.loads((tmp_path / out / "sample.json").read_text())["autoencoder"]["tile"] == tile
        drawn[out] = np.stack([np.asarray(Image.open(tmp_path / f"{out}/{i:06d}.png"), int) for i in range(3)])
    assert drawn["whole"].shape == (3, 32, 48, 3)
    assert np.mean(drawn["tiled"] == drawn["again"]) >= 0.9999, "an image depends on its batch"
    assert 0 < np.abs(drawn["tiled"] - drawn["whole"]).mean() < 0.5 * drawn["whole"].std()


def test_a_missing_autoencoder_is_told_before_anything_is_drawn(tmp_path):
    recipe = Recipe.from_text(LATENT.format(path=tmp_path / "nothing"))
    with pytest.raises(CheckpointError, match="cannot be read"):
        generate(build_backbone(recipe), recipe, [0])


def test_the_identity_takes_part_in_the_same_way():
    none = factory("autoencoder", {"use": "identity"})()
    none.load(torch.device("cpu"))
    assert none.decode(none.encode(x := images())) is x and none.channels(3) == 3
