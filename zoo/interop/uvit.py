"""Names of the published U-ViT checkpoints (arXiv 2209.12152)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.interop.names import AXIS, TRANSFORMER_BLOCK, UVIT_FRAME, Rename
from zoo.interop.shapes import block_count, heads, join_positions, labels, one_column, split_positions, three_columns

SIGNATURE = ("patch_embed.proj.weight", "decoder_pred.weight")
NAMES = [
    *UVIT_FRAME,
    *TRANSFORMER_BLOCK,
    Rename("label_emb.weight", "conditioning.embed.label.weight"),
    Rename("context_embed.{p}", "conditioning.embed.text.proj.{p}"),
    Rename("blocks.{i}.norm1.{p}", "blocks.{i}.norm_mixer.{p}"),
    Rename("blocks.{i}.norm2.{p}", "blocks.{i}.norm_feedforward.{p}"),
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
    "null_class": "false if no row of the labels' table means none of them, as in the ImageNet-64 models",
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
    patch = state["patch_embed.proj.weight"].shape[-1]
    if "context_embed.weight" in state:
        prefix = 1 + _text_tokens(state["pos_embed"].shape[1], patch, hints)
    split_positions(state, "pos_embed", prefix, patch, hints)
    return state


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    join_positions(state, "pos_embed")
    return three_columns(state)


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    backbone = tree["backbone"]
    text, label = (backbone["conditioning"]["embed"].get(name) or {} for name in ("text", "label"))
    count = {"num_clip_token": text["count"]} if "count" in text else {}
    unguided = {} if label.get("null", True) else {"null_class": False}
    return {"num_heads": backbone["mixer"].get("heads"), **count, **unguided}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    rows, columns, _ = state["pos_embed.table"].shape
    refine = state.get("final_layer.weight")
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch, "refine": 0 if refine is None else refine.shape[-1]},
        "conditioning": _conditioning(state, hints),
        "position": {"use": "learned", "std": 0.02},
        "mixer": {"use": "attention", "heads": heads(width, hints, HEADS), "bias": "blocks.0.attn.qkv.bias" in state},
        "feedforward": {"use": "mlp", "ratio": len(state["blocks.0.mlp.fc1.weight"]) // width, "activation": "gelu"},
        "norm": "layer",
        "skip": "long_concat" if any("skip_linear" in name for name in state) else "none",
        "head": {"use": "linear", "norm": "layer"},
        "init": "trunc_normal",
    }
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone}


def _conditioning(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    embed: dict[str, Any] = {"time": {"use": "sinusoid"}}
    if "time_embed.0.weight" in state:
        hidden, width = state["time_embed.0.weight"].shape
        embed["time"] = {"use": "time_mlp", "frequencies": 0, "hidden": hidden // width}
    if "label_emb.weight" in state:
        embed["label"] = {**labels(state["label_emb.weight"], hints.get("null_class", True)), "std": 1.0}
        return {"tokens": ["label", "time"], "embed": embed}
    if "context_embed.weight" in state:
        count = len(state["pos_embed.prefix"]) - 1
        embed["text"] = {"use": "text", "features": state["context_embed.weight"].shape[1], "count": count}
        return {"tokens": ["time", "text"], "embed": embed}
    return {"tokens": ["time"], "embed": embed}


def _text_tokens(rows: int, patch: int, hints: Mapping[str, Any]) -> int:
    """Text tokens: as hinted, told by the image size, or CLIP's 77."""
    size = hints.get("img_size")
    if "num_clip_token" in hints:
        return hints["num_clip_token"]
    if size is None:
        return 77
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return rows - 1 - (height // patch) * (width // patch)
