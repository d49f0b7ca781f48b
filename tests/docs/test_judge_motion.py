"""The judge of motion knows real clips, and is not fooled by clips played backwards."""

from __future__ import annotations

import pytest
import torch

from zoo.builder import section
from zoo.data.loader import val_batches
from zoo.data.source.emoji_clips import MOTIONS
from zoo.recipe import load_recipe


@pytest.fixture(scope="module")
def tool(script):
    return script("judge_motion")


def test_it_knows_held_out_clips_and_the_arrow_of_time(tool):
    recipe = load_recipe("bidim_tiny_emoji_video")
    network, real = tool.learned(recipe, "motion", steps=120)
    assert (real.diagonal() / real.sum(1)).min() > 0.9  # each motion, turning too
    (batch,) = val_batches(section(recipe, "data")((8, 16, 16), "val"), batch=200)
    seen = tool.seen_as(network, batch.images.flip(1))
    opposite = {"left": "right", "up": "down", "clockwise": "counterclockwise"}
    opposite |= {there: here for here, there in opposite.items()} | {"bounce": "bounce"}
    expected = torch.tensor([MOTIONS.index(opposite[MOTIONS[i]]) for i in batch.labels["motion"].tolist()])
    assert (seen == expected).float().mean() > 0.9
