"""Published DiM checkpoints give the published outputs, traces and gradients."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.errors import CheckpointError
from zoo.interop import load_official
from zoo.interop.dim import NAMES, regroup
from zoo.interop.names import rename

NEAR = 1e-4
"""Sinusoids of times near 1000 are published in float32; a CPU whose exp rounds otherwise is off by 6e-5."""
FOLDER = Path(__file__).parent / "fixtures/dim"
NAMES_OF_FIXTURES = ["cond_rhopad_8x8", "uncond_lateral_5x5"]


def fixture(name: str) -> tuple[dict, dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    tensors = load_file(FOLDER / f"{name}.safetensors")
    meta = json.loads((FOLDER / f"{name}.json").read_text())
    return meta, tensors, {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}


def load(name: str):
    meta, tensors, state = fixture(name)
    y = None if meta["y_passed_to_official"] is None else tensors["input.y"]
    return load_official("dim", state, **meta["official_kwargs"]), meta, tensors, state, y


@pytest.mark.parametrize("name", NAMES_OF_FIXTURES)
def test_the_output_is_the_published_one(name):
    backbone, _, tensors, _, y = load(name)
    with torch.no_grad():
        out = backbone(tensors["input.x"], tensors["input.t"], y)
    torch.testing.assert_close(out, tensors["output"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES_OF_FIXTURES)
def test_every_traced_block_is_the_published_one_read_through_the_order(name):
    backbone, _, tensors, _, y = load(name)
    seen = {}
    for i, block in enumerate(backbone.blocks):
        block.register_forward_hook(lambda _, args, out, i=i: seen.update({i: (out.value, args[3])}))
    with torch.no_grad():
        backbone(tensors["input.x"], tensors["input.t"], y)
    traced = [k for k in tensors if k.startswith("trace.block")]
    assert len(traced) >= 3
    for name in traced:
        ours, order = seen[int(name.removeprefix("trace.block"))]
        ordered = ours if order is None else ours[:, order]
        near = NEAR * max(tensors[name].abs().max().item(), 1)
        torch.testing.assert_close(ordered, tensors[name], atol=near, rtol=0)


@pytest.mark.parametrize("name", NAMES_OF_FIXTURES)
def test_gradients_are_the_published_ones(name):
    backbone, meta, tensors, state, y = load(name)
    loss = (backbone(tensors["input.x"], tensors["input.t"], y) - tensors["input.target"]).square().mean()
    loss.backward()
    assert loss.item() == pytest.approx(meta["loss"], rel=1e-6)
    ours = {name: p.grad for name, p in backbone.named_parameters()}
    published = {k.removeprefix("grad."): v for k, v in tensors.items() if k.startswith("grad.")}
    patch = {"pos_embed.proj.weight": state["pos_embed.proj.weight"]}
    whole = regroup({**patch, **published}, meta["official_kwargs"] | {"patches_hw": meta["patches_hw"]})
    whole = {k: v for k, v in whole.items() if k in published or "additional_embed" in k}
    expected, left_over = rename(whole, NAMES)
    assert len(expected) >= 10 and not left_over
    for key, gradient in expected.items():
        torch.testing.assert_close(ours[key], gradient, atol=1e-6, rtol=1e-4, msg=lambda m, k=key: f"{k}: {m}")
    for key, norm in meta["grad_norms"].items():
        if ".attn1.out_proj" in key:
            i = key.split(".")[1]
            assert ours[f"blocks.{i}.mixer.out_proj.weight"].norm().item() == pytest.approx(norm, rel=1e-4)


def test_float64_agrees_with_float64():
    backbone, _, tensors, _, y = load("cond_rhopad_8x8")
    with torch.no_grad():
        out = backbone.double()(tensors["input.x"].double(), tensors["input.t"], y)
    torch.testing.assert_close(out, tensors["output64"], atol=1e-5, rtol=0)  # its sinusoids are float32


def test_a_wide_skip_of_two_linear_maps_equals_one():
    """Above width 512 two linear maps are published; the same numbers split in two give the same output."""
    _, meta, tensors, state, y = load("cond_rhopad_8x8")
    split = {}
    for name, tensor in state.items():
        if name.endswith("skip_linear.weight"):
            stem = name.removesuffix("weight")
            split[stem + "0.weight"], split[stem + "1.weight"] = (w.contiguous() for w in tensor.chunk(2, 1))
        elif name.endswith("skip_linear.bias"):
            stem = name.removesuffix("bias")
            split[stem + "0.bias"], split[stem + "1.bias"] = 0.25 * tensor, 0.75 * tensor
        else:
            split[name] = tensor
    wide = load_official("dim", split, **meta["official_kwargs"])
    assert wide.blocks[-1].skip.bias.shape == (2, 64)
    with torch.no_grad():
        args = tensors["input.x"], tensors["input.t"], y
        torch.testing.assert_close(wide(*args), tensors["output"], atol=1e-5, rtol=0)


def test_another_and_a_non_square_grid_resizes_the_positions():
    backbone, _, tensors, _, y = load("cond_rhopad_8x8")
    with torch.no_grad():
        out = backbone(tensors["input.x"][:, :, :12, :10], tensors["input.t"], y)
    assert out.shape == (3, 4, 12, 10) and out.isfinite().all()


def test_a_missing_tensor_is_named():
    meta, _, state = fixture("uncond_lateral_5x5")
    del state["norm_out.norm.weight"]
    with pytest.raises(CheckpointError, match=r"head\.norm\.weight"):
        load_official("dim", state, **meta["official_kwargs"])


def test_a_misspelt_hint_is_pointed_out():
    _, _, state = fixture("uncond_lateral_5x5")
    with pytest.warns(UserWarning, match="scan_pattern_len"):
        load_official("dim", state, scan_patern_len=3)
