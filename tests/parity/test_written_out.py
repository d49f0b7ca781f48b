"""Configurations without a published output equal their equations, which equal the published outputs there are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import written_out
from safetensors.torch import load_file
from ssm_fixtures import fixture

from zoo.errors import CheckpointError
from zoo.interop import family_of, load_official, to_official

FOLDER = Path(__file__).parent / "fixtures"


def kept(family: str, name: str):
    """(settings, all tensors, state dict) of a fixture."""
    tensors = load_file(FOLDER / family / f"{name}.safetensors")
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    return json.loads((FOLDER / family / f"{name}.json").read_text())["kwargs"], tensors, state


def f64(state):
    return {k: v.double() for k, v in state.items()}


def noise(*sizes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(seed))


def assert_is(backbone, expected, *inputs, atol: float = 1e-5) -> None:
    with torch.no_grad():
        torch.testing.assert_close(backbone(*inputs), expected.float(), atol=atol, rtol=0)


def test_the_equations_give_the_published_outputs():
    for family, name, equations in (("uvit", "cond_latent", written_out.uvit), ("dit", "tiny", written_out.dit)):
        settings, tensors, state = kept(family, name)
        out = equations(f64(state), settings["num_heads"], *(tensors[f"input.{k}"].double() for k in "xt"),
                        tensors["input.y"])  # fmt: skip
        torch.testing.assert_close(out.float(), tensors["output"], atol=1e-5, rtol=0)
    _, tensors, state, _ = fixture("dis_classcond_sigma")
    out = written_out.dis(f64(state), tensors["input.x"].double(), tensors["input.t"].double(), tensors["input.y"])
    torch.testing.assert_close(out.float(), tensors["output"], atol=2e-5, rtol=0)
    _, tensors, state, _ = fixture("zigma_hilbert8")
    perms = shipped_hilbert()
    out = written_out.zigma(f64(state), perms, tensors["input.x"].double(), tensors["input.t"].double())
    torch.testing.assert_close(out.float(), tensors["output"], atol=1e-5, rtol=0)


def shipped_hilbert() -> list[torch.Tensor]:
    orders = json.loads((FOLDER / "scans/orders.json").read_text())["8x8"]
    return [torch.tensor(orders[f"hilbert_shipped.{k}"]) for k in range(8)]


def test_a_uvit_without_skips_and_with_a_time_mlp():
    settings, tensors, state = kept("uvit", "cond_latent")
    width = settings["embed_dim"]
    state = {k: v for k, v in state.items() if "skip_linear" not in k}
    for end, (rows, columns) in enumerate(((4 * width, width), (width, 4 * width))):
        state[f"time_embed.{2 * end}.weight"] = noise(rows, columns, seed=end) * columns**-0.5
        state[f"time_embed.{2 * end}.bias"] = noise(rows, seed=9 + end) * 0.1
    x, t, y = (tensors[f"input.{k}"] for k in "xty")
    settings |= {"skip": False, "mlp_time_embed": True}
    assert_is(load_official("u-vit", state, **settings),
              written_out.uvit(f64(state), settings["num_heads"], x.double(), t.double(), y), x, t, y)  # fmt: skip


@pytest.mark.parametrize("dropout", [0.1, 0.0])
def test_a_dit_of_patches_of_4_without_sigma_or_null_class(dropout):
    settings, tensors, state = kept("dit", "tiny")
    width = settings["hidden_size"]
    state |= {"x_embedder.proj.weight": noise(width, 4, 4, 4) * 0.1, "pos_embed": noise(1, 16, width, seed=1),
              "final_layer.linear.weight": noise(64, width, seed=2) * 0.1, "final_layer.linear.bias": noise(64)}
    x, t, y = (tensors[f"input.{k}"] for k in "xty")
    y = y.clamp(max=9)
    settings |= {"patch_size": 4, "learn_sigma": False, "class_dropout_prob": dropout}
    backbone = load_official("dit", state, **settings)
    expected = written_out.dit(f64(state), settings["num_heads"], x.double(), t.double(), y)
    assert backbone.recipe.get("process.variance") == "fixed_small"
    assert backbone.conditioning.embed["label"].has_null == (dropout > 0)
    assert_is(backbone, expected, x, t, y)
    assert to_official("dit", backbone)[0].keys() == state.keys()


def test_a_dis_without_skips_with_layer_norms_and_single_cells():
    settings, tensors, state, _ = fixture("dis_classcond_sigma")
    state = {k: v for k, v in state.items() if "skip_linear" not in k}
    state |= {k.replace("weight", "bias"): noise(32, seed=i) * 0.1
              for i, k in enumerate([k for k in state if k.endswith(("norm.weight", "norm_f.weight"))])}
    state |= {"patch_embed.proj.weight": noise(32, 4, 1, 1), "pos_embed": noise(1, 66, 32, seed=1),
              "final_layer.linear.weight": noise(8, 32) * 0.1, "final_layer.linear.bias": noise(8)}
    x, t, y = (tensors[f"input.{k}"] for k in "xty")
    backbone = load_official("dis", state, **{**settings, "patch_size": 1, "skip": False, "rms_norm": False})
    assert_is(backbone, written_out.dis(f64(state), x.double(), t.double(), y), x, t, y, atol=1e-4)
    back = to_official("dis", backbone)[0]
    assert back.keys() == state.keys() and all(torch.equal(back[k], state[k]) for k in state)


NAMED = [
    {"q": "attn2.to_q", "k": "attn2.to_k", "v": "attn2.to_v", "out": "attn2.to_out.0", "norm": "norm2",
     "text": "context_embedder"},
    {"q": "cross.q_proj", "k": "cross.k_proj", "v": "cross.v_proj", "out": "cross.out", "norm": "none",
     "text": "y_embedder"},
    {"q": "cross_attn.query", "k": "cross_attn.key", "v": "cross_attn.value", "out": "cross_attn.proj", "norm": "ln",
     "text": "text_proj.linear"},
]  # fmt: skip


def text_model(named: dict[str, str]) -> dict[str, torch.Tensor]:
    """The ZigMa fixture with text in every block, under invented names, as its published ones are not known here."""
    _, _, state, _ = fixture("zigma_hilbert8")
    width, seed = 16, iter(range(999))
    state[f"{named['text']}.weight"], state[f"{named['text']}.bias"] = noise(width, 24) * 0.2, noise(width) * 0.1
    for i in range(8):
        stem = f"blocks.{i}."
        for end, sizes in (("weight", (6 * width, width)), ("bias", (6 * width,))):
            state[f"{stem}adaLN_modulation.1.{end}"] = noise(*sizes, seed=next(seed)) * 0.3
        for role in "qkv":
            state[f"{stem}{named[role]}.weight"] = noise(512, width, seed=next(seed)) * 0.3
        state[f"{stem}{named['out']}.weight"] = noise(width, 512, seed=next(seed)) * 0.1
        state[f"{stem}{named['out']}.bias"] = noise(width, seed=next(seed))
        if named["norm"] != "none":
            state[f"{stem}{named['norm']}.weight"] = noise(width, seed=next(seed))
            state[f"{stem}{named['norm']}.bias"] = noise(width, seed=next(seed))
    return state


@pytest.mark.parametrize("named", NAMED, ids=lambda named: named["q"])
def test_a_zigma_that_reads_text_is_told_by_its_shapes(named, tmp_path):
    settings, tensors, _, _ = fixture("zigma_hilbert8")
    state, text = text_model(named), noise(2, 5, 24)
    x, t = tensors["input.x"], tensors["input.t"]
    assert family_of(state) == "zigma"
    backbone = load_official("zigma", state, **settings)
    expected = written_out.zigma(f64(state), shipped_hilbert(), x.double(), t.double(), text.double(), named)
    assert_is(backbone, expected, x, 1000 * t, text, atol=1e-4)
    assert sum(p.numel() for p in backbone.parameters()) == sum(v.numel() for v in state.values())
    with pytest.raises(CheckpointError, match="can be read, not written"):
        to_official("zigma", backbone)


def test_a_text_tensor_whose_role_is_in_doubt_is_named():
    settings, _, _, _ = fixture("zigma_hilbert8")
    state = text_model(NAMED[0])
    state["blocks.3.attn2.rotary.weight"] = state.pop("blocks.3.attn2.to_k.weight")
    with pytest.raises(CheckpointError, match=r"no place for \['blocks.3.attn2.rotary.weight'\].*blocks.3.cross.k"):
        load_official("zigma", state, **settings)
