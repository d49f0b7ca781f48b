"""A video model trains on clips: batches, validation, previews that move, a checkpoint that samples."""

from __future__ import annotations

import torch
from PIL import Image
from tiny_runs import losses, trained

import zoo
from zoo.builder import section
from zoo.recipe import load_recipe
from zoo.registry import register
from zoo.train.feed import Feed
from zoo.train.ranks import Ranks

TINY = ["shape=[5,3,8,12]", "backbone.width=16", "backbone.depth=2", "train.batch=4", "train.warmup=0",
        "data.names=[flag-d*]", "data.styles=null", "train.val_images=6",
        "train.preview_count=2", "train.log_every=2", "sampler.steps=3",
        "train.max_minutes=0"]  # fmt: skip


def test_a_run_on_clips_learns_looks_and_can_be_sampled(tmp_path):
    looking = ["train.steps=4", "train.val_every=2", "train.preview_every=4", "train.save_every=0"]
    trained(load_recipe("bidim_tiny_emoji_video", [*TINY, *looking]), tmp_path)
    records = losses(tmp_path)
    assert records[-1]["step"] == 4 and all(r["val"] > 0 for r in records if "val" in r)
    with Image.open(tmp_path / "samples/step-00000004.gif") as moving:
        assert moving.size == (2 * 12 + 2, 8) and moving.n_frames <= 5
    assert Image.open(tmp_path / "samples/step-00000004.png").size == (2 * 12 + 2, 8)
    assert "samples/step-00000004.gif" in (tmp_path / "index.html").read_text()
    clips = zoo.sample(tmp_path, n=2, classes=["left", "bounce"], device="cpu")
    assert [clip.shape for clip in clips] == [(5, 8, 12, 3)] * 2


@register("autoencoder", "every_second_pixel")
class EverySecondPixel:
    """(B,[T,]3,H,W) -> (B,[T,]3,H/2,W/2)."""

    factor = 2

    def encode(self, images):
        return images[..., ::2, ::2]


def test_clips_are_read_as_large_as_their_latents_want_them_and_encoded():
    def first(*overrides: str):
        recipe = load_recipe("bidim_tiny_emoji_video", [*TINY, *overrides])
        return next(Feed(recipe, section(recipe, "train")(), Ranks(torch.device("cpu"))).batches(0)).images

    latents, pixels = first("autoencoder=every_second_pixel"), first("shape=[5,3,16,24]")
    assert latents.shape[1:] == (5, 3, 8, 12) and pixels.shape[1:] == (5, 3, 16, 24)
    assert torch.equal(latents, pixels[..., ::2, ::2])
