"""Every published network in the shared fixtures beside the checkout: output, traces and guidance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.guidance.cfg import ClassifierFree
from zoo.diffusion.process.discrete import Discrete
from zoo.interop import family_of, load_official

FOLDER = Path(__file__).parents[3] / "shared/fixtures/uvit_dit"
NAMES = sorted(f.stem for f in FOLDER.glob("*.json") if "model" in json.loads(f.read_text()))
every = pytest.mark.parametrize("name", NAMES or [pytest.param("", marks=pytest.mark.skip("no shared fixtures"))])


def load(name: str):
    """(backbone, tensors, y, parameters, tolerance); large weights show a sinusoid's last bit, in which CPUs differ."""
    meta, tensors = json.loads((FOLDER / f"{name}.json").read_text()), load_file(FOLDER / f"{name}.safetensors")
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    backbone = load_official(family_of(state), state, **meta["kwargs"])
    y = tensors.get("input.y", tensors.get("input.context"))
    return backbone, tensors, y, meta["n_params"], 2e-3 if "sharp" in name else 1e-5


@every
def test_the_output_is_the_published_one(name):
    backbone, tensors, y, parameters, tolerance = load(name)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    with torch.no_grad():
        out = backbone(tensors["input.x"], tensors["input.t"], y)
    torch.testing.assert_close(out, tensors["output"], atol=tolerance, rtol=0)


@every
def test_every_trace_is_the_published_one(name):
    """To 1e-4 of the largest value: published sinusoids of times near 1000 are in float32, off by 6e-5."""
    backbone, tensors, y, _, _ = load(name)
    seen: dict[str, torch.Tensor] = {}
    last, middle = len(backbone.blocks) - 1, len(backbone.blocks) // 2
    ends = {0: ["in_block_0", "block_0"], middle: ["mid_block"], last: ["out_block_last", "block_last"]}

    def keep(i: int):
        def hook(block, args, out):
            seen.update({f"trace.{place}": out.value for place in ends.get(i, [])})
            if i == 0:
                seen["trace.tokens_in"] = args[0].value
        return hook

    for i, block in enumerate(backbone.blocks):
        block.register_forward_hook(keep(i))
    if middle + 1 <= last and (skip := backbone.blocks[middle + 1].skip) is not None:
        skip.register_forward_hook(lambda _, args, out: seen.update({"trace.out_block_0_after_skip": out.value}))
    backbone.head.register_forward_hook(lambda _, args, out: seen.update({"trace.final_layer": out}))
    if "trace.cond_vector" in tensors:
        modulation = backbone.blocks[0].modulation
        modulation.proj.register_forward_hook(lambda _, args, out: seen.update({"trace.block_0_modulation": out}))
    with torch.no_grad():
        backbone(tensors["input.x"], tensors["input.t"], y)
    compared = [k for k in seen if k in tensors]
    assert {"trace.tokens_in"} < set(compared)
    for key in compared:
        ours, theirs = seen[key].reshape(tensors[key].shape), tensors[key]
        torch.testing.assert_close(ours, theirs, atol=1e-4 * max(theirs.abs().max().item(), 1), rtol=0, msg=key)


@pytest.mark.parametrize("key, channels", [("cfg.output", 3), ("cfg.output_allchannels", None)])
@pytest.mark.skipif("dit_tiny" not in NAMES, reason="no shared fixtures")
def test_dits_guidance_of_three_and_of_all_channels_is_the_published_one(key, channels):
    backbone, tensors, _, _, _ = load("dit_tiny")
    y, times = tensors["cfg.input.y"], tensors["cfg.input.t"]
    half = len(y) // 2
    process, scale = Discrete(betas="linear", first=0, variance="learned_range"), tensors["cfg.scale"].item()
    assert (y[half:] == 10).all() and torch.equal(times[:half], times[half:])
    for i in range(half):
        denoiser = Denoiser(backbone, process, y[i : i + 1], ClassifierFree(scale=scale, channels=channels))
        with torch.no_grad():  # the chain's step n is the network's n - 1
            out = denoiser(tensors["cfg.input.x"][i : i + 1], (times[i].item() + 1) / 1000)
        torch.testing.assert_close(out, tensors[key][i : i + 1], atol=1e-5, rtol=0)
