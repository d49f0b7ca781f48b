"""Clips as latents: `zoo-data encode` a folder of videos, train a latent video recipe on it, sample videos."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.builder import section
from zoo.cli import sample as sample_command
from zoo.cli import train as train_command
from zoo.cli.data import main
from zoo.data.source.latents import Latents
from zoo.errors import DataError
from zoo.eval.images import Split
from zoo.recipe import load_recipe
from zoo.sampling.motion import save_clip
from zoo.train.feed import Feed
from zoo.train.ranks import Ranks

diffusers = pytest.importorskip("diffusers")

SHAPE, PIXELS = "shape=[3,4,2,3]", (3, 16, 24)  # factor 8


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    """A tiny autoencoder of factor 8 with random weights, as a folder."""
    torch.manual_seed(0)
    made = diffusers.AutoencoderKL(
        block_out_channels=(4,) * 4, down_block_types=("DownEncoderBlock2D",) * 4, layers_per_block=1,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4, norm_num_groups=2, sample_size=16,
    )  # fmt: skip
    path = tmp_path_factory.mktemp("vae")
    made.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Ten GIFs of five frames, in two classes."""
    folder, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for i in range(10):
        (folder / "ab"[i % 2]).mkdir(exist_ok=True)
        save_clip(rng.integers(0, 256, (5, 16, 24, 3), dtype=np.uint8), folder / "ab"[i % 2] / f"{i}.gif")
    return folder


@pytest.fixture(scope="module")
def settings(vae):
    return [SHAPE, f"autoencoder.path={vae}", "backbone.width=16", "backbone.depth=2", "backbone.mixer.state=4",
            "backbone.patch.size=1", "backbone.conditioning.embed.label.classes=2"]  # fmt: skip


@pytest.fixture(scope="module")
def clips(videos):
    return f"data={{use: clips, path: {videos}, stride: 2, holdout: 0.3}}"


@pytest.fixture(scope="module")
def latents(settings, clips, tmp_path_factory):
    out = tmp_path_factory.mktemp("latents")
    assert main(["encode", "bidim_s_video", *settings, clips, "--out", str(out), "--float32", "--shard", "3",
                 "--device", "cpu"]) == 0  # fmt: skip
    return out


def test_latents_of_a_clip_are_the_moments_of_its_frames_and_of_their_mirror_images(latents, settings, clips):
    recipe = load_recipe("bidim_s_video", [*settings, clips])
    videos, vae, stored = section(recipe, "data")(PIXELS, "train"), section(recipe, "autoencoder")(), Latents(
        PIXELS, "train", path=str(latents))  # fmt: skip
    assert len(stored) == len(videos) and stored.classes == videos.classes == {"label": ["a", "b"]}
    for i in (0, len(stored) - 1):
        frames = torch.from_numpy(videos[i].image).permute(0, 3, 1, 2) / 127.5 - 1
        assert stored[i].labels == videos[i].labels
        for copy, pixels in zip((i, len(stored) + i), (frames, frames.flip(-1))):
            one_by_one = torch.cat([vae.moments(frame[None]) for frame in pixels])
            assert stored[copy].image.shape == (3, 8, 2, 3)
            np.testing.assert_allclose(stored[copy].image, one_by_one, atol=1e-5)


def test_training_sees_clips_of_latents_around_their_mean(latents, settings):
    recipe = load_recipe("bidim_s_video", [*settings, f"data.path={latents}", "train.batch=4", "train.workers=0"])
    feed = Feed(recipe, section(recipe, "train")(), Ranks(torch.device("cpu")))
    (held_out,) = feed.held_out(8)
    stored = Latents(PIXELS, "val", path=str(latents))
    means = np.stack([stored[i].image[:, :4] for i in range(len(stored))])
    np.testing.assert_allclose(held_out.images, stored.latent.scale * means, atol=1e-6)
    first, again, later = (next(feed.batches(start)).images for start in (0, 0, 4))
    assert first.shape == (4, 3, 4, 2, 3) and torch.equal(first, again) and not torch.equal(first, later)


def test_the_recipe_trains_on_latents_and_samples_videos(latents, settings, tmp_path):
    run = tmp_path / "run"
    train_command.main(["bidim_s_video", *settings, f"data.path={latents}", "--out", str(run), "--device", "cpu",
                        "train.steps=2", "train.batch=2", "train.workers=0", "train.precision=fp32",
                        "train.val_every=2", "train.preview_every=2", "train.preview_count=2"])  # fmt: skip
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("val" in line for line in losses)
    sample_command.main([str(run), "-n", "2", "--out", str(tmp_path / "films"), "--device", "cpu", "sampler.steps=2"])
    with Image.open(next((tmp_path / "films").rglob("*1.gif"))) as film:
        assert film.size == (24, 16) and film.n_frames == 3


def test_other_clips_or_images_are_refused(latents):
    with pytest.raises(DataError, match="latents are of clips of 3x16x24, the recipe wants 4x16x24"):
        Latents((4, 16, 24), "train", path=str(latents))
    with pytest.raises(DataError, match="the recipe wants 16x24"):
        Latents((16, 24), "train", path=str(latents))
    assert len(Latents((3, 2, 3), "train", path=str(latents)))  # where no autoencoder is named


def test_check_knows_clips_and_latents_of_clips(latents, settings, clips, videos, capsys):
    assert main(["check", str(latents)]) == 0
    assert "10 clips of 3x16x24" in capsys.readouterr().out
    assert main(["check", "bidim_s_video", *settings, clips]) == 0
    assert "16x24 is the most frequent" in (said := capsys.readouterr().out) and "clips of 'a'" in said
    whole = (videos / "a/0.gif").read_bytes()
    (videos / "a/0.gif").write_bytes(whole[: len(whole) // 2])
    assert main(["check", "bidim_s_video", *settings, clips]) == 1
    assert "bad: " in capsys.readouterr().out
    (videos / "a/0.gif").write_bytes(whole)


def test_latents_are_no_pictures_to_compare_samples_with(latents, settings):
    recipe = load_recipe("bidim_s_video", [*settings, f"data.path={latents}"])
    with pytest.raises(DataError, match=r"no pictures to compare with(.|\n)*reference"):
        Split(recipe, "train", PIXELS[1:])


def test_without_latents_the_recipe_says_what_makes_them(settings):
    recipe = load_recipe("bidim_s_video", settings)
    with pytest.raises(DataError, match=r"no latents.*zoo-data encode"):
        Feed(recipe, section(recipe, "train")(), Ranks(torch.device("cpu")))
