"""Published U-ViT checkpoints give the published outputs and traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.interop import load_official

NEAR = 1e-4
"""Sinusoids of times near 1000 are published in float32; a CPU whose exp rounds otherwise is off by 6e-5."""
FOLDER = Path(__file__).parent / "fixtures/uvit"


def load(name: str):
    tensors = load_file(FOLDER / f"{name}.safetensors")
    meta = json.loads((FOLDER / f"{name}.json").read_text())
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    y = tensors.get("input.y", tensors.get("input.context"))
    return load_official("u-vit", state, **meta["kwargs"]), tensors, y, meta


@pytest.mark.parametrize("name", ["cond_latent", "cond_latent_noconv_p4", "t2i", "uncond_cifar"])
def test_the_output_is_the_published_one(name):
    backbone, tensors, y, meta = load(name)
    assert sum(p.numel() for p in backbone.parameters()) == meta["n_params"]
    with torch.no_grad():
        out = backbone(tensors["input.x"], tensors["input.t"], y)
    torch.testing.assert_close(out, tensors["output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["cond_latent", "t2i"])
def test_traced_blocks_are_the_published_ones(name):
    backbone, tensors, y, _ = load(name)
    seen = {}
    for i, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda _, args, out, i=i: seen.update({i: (args[0].value, out.value)}))
    with torch.no_grad():
        backbone(tensors["input.x"], tensors["input.t"], y)
    middle, last = len(seen) // 2, len(seen) - 1
    ends = {"mid_block": seen[middle][1], "out_block_last": seen[last][1]}
    pairs = {"tokens_in": seen[0][0], "in_block_0": seen[0][1], **ends}
    for name, ours in pairs.items():
        theirs = tensors[f"trace.{name}"]
        torch.testing.assert_close(ours, theirs, atol=NEAR * max(theirs.abs().max().item(), 1), rtol=0, msg=name)


def test_guidance_with_the_published_scale():
    backbone, tensors, _, _ = load("cond_latent")
    y = tensors["cfg.input.y"]
    with torch.no_grad():
        conditional, free = (backbone(tensors["input.x"], tensors["input.t"], v)
                             for v in (y, backbone.null(y)))
    guided = conditional + tensors["cfg.scale"] * (conditional - free)
    torch.testing.assert_close(guided, tensors["cfg.output"], atol=1e-5, rtol=0)
