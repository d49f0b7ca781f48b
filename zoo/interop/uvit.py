"""Names of the published U-ViT checkpoints (arXiv 2209.12152)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.names import AXIS, Rename
from zoo.interop.shapes import block_count, grid_of, one_column, split_positions, three_columns

SIGNATURE = ("patch_embed.proj.weight", "decoder_pred.weight")
NAMES = [
    Rename("patch_embed.proj.{p}", "patch.proj.{p}"),
    Rename("pos_embed.prefix", "position.prefix"),
    Rename("pos_embed.table", "position.table"),
    Rename("time_embed.0.{p}", "conditioning.embed.time.up.{p}"),
    Rename("time_embed.2.{p}", "conditioning.embed.time.down.{p}"),
    Rename("label_emb.weight", "conditioning.embed.label.weight"),
    Rename("context_embed.{p}", "conditioning.embed.text.proj.{p}"),
    Rename("blocks.{i}.norm1.{p}", "blocks.{i}.norm_mixer.{p}"),
    Rename("blocks.{i}.norm2.{p}", "blocks.{i}.norm_feedforward.{p}"),
    Rename("blocks.{i}.attn.qkv.{p}", "blocks.{i}.mixer.qkv.{p}"),
    Rename("blocks.{i}.attn.proj.{p}", "blocks.{i}.mixer.out.{p}"),
    Rename("blocks.{i}.mlp.fc1.{p}", "blocks.{i}.feedforward.up.{p}"),
    Rename("blocks.{i}.mlp.fc2.{p}", "blocks.{i}.feedforward.down.{p}"),
    Rename("blocks.{i}.skip_linear.weight", "blocks.{i}.skip.weight"),
    Rename("blocks.{i}.skip_linear.bias", "blocks.{i}.skip.bias", AXIS),
    Rename("norm.{p}", "head.norm.{p}"),
    Rename("decoder_pred.{p}", "head.proj.{p}"),
    Rename("final_layer.{p}", "patch.refine.{p}"),
]
NOT_PUBLISHED = ("conditioning.embed.text.empty",)
WITHOUT_EFFECT = (
    "patch_size", "in_chans", "embed_dim", "depth", "mlp_ratio", "qkv_bias", "mlp_time_embed", "num_classes",
    "use_checkpoint", "conv", "skip", "clip_dim", "num_clip_token", "norm_layer", "qk_scale",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect"),
    "num_heads": "attention heads",
    "img_size": "side of the image, or (height, width)",
    "patches_hw": "rows and columns of patches",
    "input_hw": "height and width of the image",
}
HEADS = {512: 8, 768: 12, 1024: 16, 1152: 16, 1536: 24}
"""Width -> heads of the published models."""


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """Blocks numbered from first to last; positions split into prefix and grid."""
    state = one_column(state)
    prefix = 2 if "label_emb.weight" in state else 1
    table = state.pop("pos_embed")
    patch = state["patch_embed.proj.weight"].shape[-1]
    if "context_embed.weight" in state:
        prefix = 1 + _text_tokens(table.shape[1], patch, hints)
    grid = grid_of(table.shape[1] - prefix, patch, hints)
    state["pos_embed.prefix"], state["pos_embed.table"] = split_positions(table, prefix, *grid)
    return state


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    prefix, table = (state.pop(f"pos_embed.{end}") for end in ("prefix", "table"))
    return three_columns({**state, "pos_embed": torch.cat([prefix, table.flatten(0, 1)])[None]})


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    backbone = tree["backbone"]
    text = backbone["conditioning"]["embed"].get("text") or {}
    count = {"num_clip_token": text["count"]} if "count" in text else {}
    return {"num_heads": backbone["mixer"].get("heads"), **count}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    rows, columns, _ = state["pos_embed.table"].shape
    refine = state.get("final_layer.weight")
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch, "refine": 0 if refine is None else refine.shape[-1]},
        "conditioning": _conditioning(state),
        "position": {"use": "learned", "std": 0.02},
        "mixer": {"use": "attention", "heads": _heads(width, hints), "bias": "blocks.0.attn.qkv.bias" in state},
        "feedforward": {"use": "mlp", "ratio": len(state["blocks.0.mlp.fc1.weight"]) // width, "activation": "gelu"},
        "norm": "layer",
        "skip": "long_concat" if any("skip_linear" in name for name in state) else "none",
        "head": {"use": "linear", "norm": "layer"},
        "init": "trunc_normal",
    }
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone}


def _conditioning(state: Mapping[str, Tensor]) -> dict[str, Any]:
    embed: dict[str, Any] = {"time": {"use": "sinusoid"}}
    if "time_embed.0.weight" in state:
        hidden, width = state["time_embed.0.weight"].shape
        embed["time"] = {"use": "time_mlp", "frequencies": 0, "hidden": hidden // width}
    if "label_emb.weight" in state:
        embed["label"] = {"use": "table", "classes": len(state["label_emb.weight"]) - 1, "std": 1.0}
        return {"tokens": ["label", "time"], "embed": embed}
    if "context_embed.weight" in state:
        count = len(state["pos_embed.prefix"]) - 1
        embed["text"] = {"use": "text", "features": state["context_embed.weight"].shape[1], "count": count}
        return {"tokens": ["time", "text"], "embed": embed}
    return {"tokens": ["time"], "embed": embed}


def _heads(width: int, hints: Mapping[str, Any]) -> int:
    if "num_heads" not in hints and width not in HEADS:
        raise CheckpointError(f"shapes do not tell how many heads a model of width {width} has", fix="give num_heads=")
    return hints.get("num_heads", HEADS.get(width))


def _text_tokens(rows: int, patch: int, hints: Mapping[str, Any]) -> int:
    """Text tokens: as hinted, told by the image size, or CLIP's 77."""
    size = hints.get("img_size")
    if "num_clip_token" in hints:
        return hints["num_clip_token"]
    if size is None:
        return 77
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return rows - 1 - (height // patch) * (width // patch)
