"""Names of the published U-ViT checkpoints (arXiv 2209.12152)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.official import Rename, block_count, grid_of, split_positions

BLOCK = r"blocks\.(\d+)\."
NAMES = [
    Rename(r"patch_embed\.proj\.(weight|bias)", r"patch.proj.\1"),
    Rename(r"pos_embed\.(prefix|table)", r"position.\1"),
    Rename(r"time_embed\.0\.(weight|bias)", r"conditioning.embed.time.up.\1"),
    Rename(r"time_embed\.2\.(weight|bias)", r"conditioning.embed.time.down.\1"),
    Rename(r"label_emb\.weight", r"conditioning.embed.label.weight"),
    Rename(r"context_embed\.(weight|bias)", r"conditioning.embed.text.proj.\1"),
    Rename(BLOCK + r"norm1\.(weight|bias)", r"blocks.\1.norm_mixer.\2"),
    Rename(BLOCK + r"norm2\.(weight|bias)", r"blocks.\1.norm_feedforward.\2"),
    Rename(BLOCK + r"attn\.qkv\.(weight|bias)", r"blocks.\1.mixer.qkv.\2"),
    Rename(BLOCK + r"attn\.proj\.(weight|bias)", r"blocks.\1.mixer.out.\2"),
    Rename(BLOCK + r"mlp\.fc1\.(weight|bias)", r"blocks.\1.feedforward.up.\2"),
    Rename(BLOCK + r"mlp\.fc2\.(weight|bias)", r"blocks.\1.feedforward.down.\2"),
    Rename(BLOCK + r"skip_linear\.weight", r"blocks.\1.skip.weight"),
    Rename(BLOCK + r"skip_linear\.bias", r"blocks.\1.skip.bias", lambda x: x[None]),
    Rename(r"norm\.(weight|bias)", r"head.norm.\1"),
    Rename(r"decoder_pred\.(weight|bias)", r"head.proj.\1"),
    Rename(r"final_layer\.(weight|bias)", r"patch.refine.\1"),
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
    if "decoder_pred.weight" not in state:
        raise CheckpointError("this is no published U-ViT state dict: it has no 'decoder_pred.weight'")
    half = block_count(state, r"in_blocks\.(\d+)\.")
    state = {_number(name, half): tensor for name, tensor in state.items()}
    prefix = 2 if "label_emb.weight" in state else 1
    table = state.pop("pos_embed")
    patch = state["patch_embed.proj.weight"].shape[-1]
    if "context_embed.weight" in state:
        prefix = 1 + _text_tokens(table.shape[1], patch, hints)
    grid = grid_of(table.shape[1] - prefix, patch, hints)
    state["pos_embed.prefix"], state["pos_embed.table"] = split_positions(table, prefix, *grid)
    return state


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    rows, columns, _ = state["pos_embed.table"].shape
    refine = state.get("final_layer.weight")
    backbone = {
        "width": width,
        "depth": block_count(state, BLOCK),
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


def _number(name: str, half: int) -> str:
    """in_blocks.i, mid_block, out_blocks.j -> blocks.n."""
    name = re.sub(r"^in_blocks\.", "blocks.", name)
    name = re.sub(r"^mid_block\.", f"blocks.{half}.", name)
    return re.sub(r"^out_blocks\.(\d+)\.", lambda m: f"blocks.{half + 1 + int(m.group(1))}.", name)
