"""Names of the published DiM checkpoints (arXiv 2405.14224)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.names import AXIS, CHANNELS, FIRST, Layout, Rename, only
from zoo.interop.shapes import block_count, join_positions, mamba, split_positions

SIGNATURE = ("additional_embed", "transformer_blocks.0.attn1.in_proj.weight")
BLOCK, OURS = "transformer_blocks.{i}.", "blocks.{i}."
PADS = Layout(lambda x: only(x).T, lambda x: x.T[None])
BIASES = Layout(lambda x: x.reshape(-1, x.shape[-1]), lambda x: x[0] if len(x) == 1 else x)
NAMES = [
    Rename("pos_embed.proj.{p}", "patch.proj.{p}"),
    Rename("additional_embed.prefix", "position.prefix"),
    Rename("additional_embed.table", "position.table"),
    Rename("label_emb.weight", "conditioning.embed.label.weight"),
    Rename("adaln_single.emb.timestep_embedder.linear_1.{p}", "conditioning.embed.time_adaln.up.{p}"),
    Rename("adaln_single.emb.timestep_embedder.linear_2.{p}", "conditioning.embed.time_adaln.down.{p}"),
    Rename("adaln_single.emb.class_embedder.embedding_table.weight", "conditioning.embed.label_adaln.weight"),
    Rename("adaln_single.linear.{p}", "modulation.proj.{p}"),
    Rename("a4m_adapter.first_smoother.{p}", "enhancer_in.conv.{p}"),
    Rename("a4m_adapter.last_smoother.{p}", "enhancer_out.conv.{p}"),
    Rename("a4m_adapter.pad_token", "padding.pads", PADS),
    Rename("a4m_adapter.pad_token_dec_split", "padding.separators", FIRST),
    Rename(BLOCK + "scale_shift_table", OURS + "modulation.table", AXIS),
    Rename(BLOCK + "norm1.norm.weight", OURS + "norm_mixer.weight"),
    Rename(BLOCK + "attn1.conv1d.weight", OURS + "mixer.conv_weight", CHANNELS),
    Rename(BLOCK + "attn1.conv1d.bias", OURS + "mixer.conv_bias"),
    Rename(BLOCK + "attn1.{rest}", OURS + "mixer.{rest}"),
    Rename(BLOCK + "skip_linear.weight", OURS + "skip.weight"),
    Rename(BLOCK + "skip_linear.bias", OURS + "skip.bias", BIASES),
    Rename("norm_out.norm.weight", "head.norm.weight"),
    Rename("proj_out_1.{p}", "head.modulation.{p}"),
    Rename("proj_out_2.{p}", "head.proj.{p}"),
]
WITHOUT_EFFECT = (
    "attention_head_dim", "num_attention_heads", "num_layers", "in_channels", "out_channels", "num_embeds_ada_norm",
    "activation_fn", "attention_bias", "norm_elementwise_affine", "norm_type", "patch_size", "mamba_d_state",
    "mamba_d_conv", "mamba_expand", "use_bidirectional_rnn", "mamba_type", "nested_order", "is_uconnect", "no_ff",
    "use_conv1d", "is_extra_tokens", "rms", "use_pad_token", "use_a4m_adapter", "drop_path_rate",
    "kv_as_one_token_idx", "num_2d_enc_dec_layers", "is_absorb", "use_adapter_modules", "sequence_schedule",
    "sub_sequence_schedule", "pos_encoding_type", "is_align_exchange_q_kv", "multi_times", "pattern_type",
    "is_random_patterns", "use_pos_inteplot", "pad_token_len", "split_skip", "cross_attention_dim",
    "double_self_attention",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect in the published code"),
    "sample_size": "side of the latents, or (height, width)",
    "input_hw": "height and width of the latents",
    "patches_hw": "rows and columns of patches",
    "pad_token_schedules": "holds lateral (default) or rho_pad",
    "scan_pattern_len": "scans in use, less one: 3 (default), 1 or 0",
    "encoder_start_blk_id": "the first block with a long skip, 1 by default",
    "skip_tune": "whether the published, nearly inert, scaling of skips is on",
}
SCANS = {0: "raster", 1: "two_way", 3: "four_way"}
SKIP_TUNE = 0.99982  # (0.82 - 1) * t/1000 with t = 1, as the code has it, for the last block


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """Positions split into prefix and grid; the two linear maps of a wide skip stacked into one."""
    split_positions(state, "additional_embed", 2, state["pos_embed.proj.weight"].shape[-1], hints)
    for name in [n for n in state if n.endswith("skip_linear.0.weight")]:
        stem = name.removesuffix("0.weight")
        state[stem + "weight"] = torch.cat([state.pop(f"{stem}{i}.weight") for i in (0, 1)], 1)
        state[stem + "bias"] = torch.stack([state.pop(f"{stem}{i}.bias") for i in (0, 1)])
    return state


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    join_positions(state, "additional_embed")
    for name in [n for n, b in state.items() if n.endswith("skip_linear.bias") and b.ndim == 2]:
        stem = name.removesuffix("bias")
        halves = zip(state.pop(stem + "weight").chunk(2, 1), state.pop(stem + "bias"))
        for i, (weight, bias) in enumerate(halves):
            state[f"{stem}{i}.weight"], state[f"{stem}{i}.bias"] = weight.contiguous(), bias.clone()
    return state


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    backbone, scans = tree["backbone"], {name: n for n, name in SCANS.items()}
    padding, skip = backbone["padding"], backbone["skip"]
    cyclic = padding.get("bottom") == "cyclic"
    return {
        "scan_pattern_len": scans.get(backbone["scan"]["use"], 3),
        "pad_token_schedules": ["rho_pad" if cyclic else "lateral"],
        "encoder_start_blk_id": skip.get("start", 1),
        "skip_tune": skip.get("tune", 1.0) != 1.0,
    }


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["pos_embed.proj.weight"].shape
    rows, columns, _ = state["additional_embed.table"].shape
    classes = len(state["label_emb.weight"]) - 1
    embed = {
        "time": {"use": "sinusoid"},
        "label": {"use": "table", "classes": classes},
        "time_adaln": {"use": "time_mlp", "frequencies": 256},
        "label_adaln": {"use": "table", "classes": classes},
    }
    backbone = {
        "width": width,
        "depth": block_count(state, r"transformer_blocks\.(\d+)\."),
        "mirror": True,
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"tokens": ["time", "label"], "embed": embed},
        "position": "learned",
        "enhancer": _enhancer(state),
        "padding": _padding(state, hints),
        "scan": _scan(hints),
        "mixer": mamba(state, "transformer_blocks.0.attn1."),
        "norm": "rms",
        "skip": _skip(state, hints),
        "modulation": {"use": "adaln_single", "source": ["time_adaln", "label_adaln"], "gate": "one_plus"},
        "head": {"use": "linear", "norm": "rms", "source": ["time", "label"]},
        "init": {"use": "default", "zero_bias": True},
    }
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone}


def _enhancer(state: Mapping[str, Tensor]) -> Any:
    weight = state.get("a4m_adapter.first_smoother.weight")
    return "none" if weight is None else {"use": "depthwise_conv", "kernel": weight.shape[-1]}


def _padding(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> Any:
    pads, separators = (state.get(f"a4m_adapter.pad_token{end}") for end in ("", "_dec_split"))
    if pads is None:
        return "none"
    cyclic = "rho_pad" in hints.get("pad_token_schedules", ())
    return {"use": "grid_tokens", "count": pads.shape[-1], "bottom": "cyclic" if cyclic else "by_row",
            "separators": 0 if separators is None else separators.shape[1]}  # fmt: skip


def _scan(hints: Mapping[str, Any]) -> str:
    length = hints.get("scan_pattern_len", 3)
    if length not in SCANS:
        raise CheckpointError(f"scan_pattern_len {length} is not published", allowed=sorted(SCANS))
    return SCANS[length]


def _skip(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> Any:
    biases = [b for name, b in state.items() if name.endswith("skip_linear.bias")]
    if not biases:
        return "none"
    tuned = any("skip_tune" in name and value for name, value in hints.items())
    return {"use": "two_linear" if biases[0].ndim == 2 else "long_concat",
            "start": hints.get("encoder_start_blk_id", 1), "tune": SKIP_TUNE if tuned else 1.0}  # fmt: skip
