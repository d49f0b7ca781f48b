"""Published DiT checkpoints give the published outputs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from zoo.interop import load_official

FOLDER = Path(__file__).parent / "fixtures/dit"


@pytest.mark.parametrize("name, near, rest", [("tiny", 1e-5, 1e-5), ("sharp", 2e-5, 2e-3)])
def test_the_output_is_the_published_one(name, near, rest):
    """Large weights show the last bit of a sinusoid, in which CPUs differ, but not of that of time 0."""
    tensors = load_file(FOLDER / f"{name}.safetensors")
    meta = json.loads((FOLDER / f"{name}.json").read_text())
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    backbone = load_official("dit", state, **meta["kwargs"])
    assert sum(p.numel() for p in backbone.parameters()) == meta["n_params"]
    with torch.no_grad():
        out = backbone(tensors["input.x"], tensors["input.t"], tensors["input.y"])
    for ours, theirs, t in zip(out, tensors["output"], tensors["input.t"]):
        torch.testing.assert_close(ours, theirs, atol=rest if t else near, rtol=0)
    if "pos_embed_sincos" in tensors:
        fresh = type(backbone.position)(64, backbone.patch.grid(16, 16), 0)
        fresh.reset(0)
        torch.testing.assert_close(fresh.table.flatten(0, 1), tensors["pos_embed_sincos"][0], atol=1e-6, rtol=0)
