"""Published DiS weights give the published outputs and traces."""

from __future__ import annotations

import pytest
import torch
from ssm_fixtures import assert_close, fixture, names

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.guidance.cfg import ClassifierFree
from zoo.diffusion.process.discrete import Discrete
from zoo.interop import load_official


@pytest.mark.parametrize("name", names("dis"))
def test_the_output_is_the_published_one(name):
    config, tensors, state, parameters = fixture(name)
    backbone = load_official("dis", state, **config)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    with torch.no_grad():
        out = backbone(tensors["input.x"], tensors["input.t"], tensors.get("input.y"))
    torch.testing.assert_close(out, tensors["output"], atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", names("dis"))
def test_what_blocks_add_and_the_stream_are_the_published_ones(name):
    config, tensors, state, _ = fixture(name)
    backbone, seen = load_official("dis", state, **config), {}
    for i, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda _, args, out, i=i: seen.update({i: out}))
    with torch.no_grad():
        backbone(tensors["input.x"], tensors["input.t"], tensors.get("input.y"))
    for place, i in (("mid_block", len(seen) // 2), ("out_blocks.last", len(seen) - 1)):
        assert_close(seen[i].y, tensors[f"trace.{place}.hidden"])
        assert_close(seen[i].x, tensors[f"trace.{place}.residual"])


def test_guidance_of_three_channels_is_the_published_one():
    config, tensors, state, _ = fixture("dis_classcond_sigma")
    backbone = load_official("dis", state, **config)
    process = Discrete(betas="linear", first=0, variance="learned_range")
    denoiser = Denoiser(backbone, process, torch.tensor([3]), ClassifierFree(scale=1.5, channels=3))
    x, t = tensors["input.x"][:1], 614 / 1000  # the chain's 614th step is the network's 613
    with torch.no_grad():
        out = denoiser(x, t)
    torch.testing.assert_close(out, tensors["output_cfg"][:1], atol=2e-5, rtol=0)
