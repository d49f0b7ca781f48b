"""Names of the published DiS checkpoints (arXiv 2402.05608)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.interop.names import CHANNELS, Rename
from zoo.interop.shapes import (
    block_count,
    directions,
    grid_of,
    mamba,
    one_column,
    one_way,
    split_positions,
    three_columns,
)

SIGNATURE = ("patch_embed.proj.weight", "in_blocks.0.mixer.A_b_log")
MIXER = "blocks.{i}.mixer.{way}"
NAMES = [
    Rename("patch_embed.proj.{p}", "patch.proj.{p}"),
    Rename("pos_embed.prefix", "position.prefix"),
    Rename("pos_embed.table", "position.table"),
    Rename("time_embed.0.{p}", "conditioning.embed.time.up.{p}"),
    Rename("time_embed.2.{p}", "conditioning.embed.time.down.{p}"),
    Rename("label_emb.embedding_table.weight", "conditioning.embed.label.weight"),
    Rename("blocks.{i}.norm.{p}", "blocks.{i}.norm_mixer.{p}"),
    Rename(MIXER + "conv1d.weight", MIXER + "conv_weight", CHANNELS),
    Rename(MIXER + "conv1d.bias", MIXER + "conv_bias"),
    Rename("blocks.{i}.mixer.{rest}", "blocks.{i}.mixer.{rest}"),
    Rename("blocks.{i}.skip_linear.{p}", "blocks.{i}.skip.{p}"),
    Rename("norm_f.{p}", "final_norm.{p}"),
    Rename("final_layer.adaLN_modulation.1.{p}", "head.modulation.{p}"),
    Rename("final_layer.linear.{p}", "head.proj.{p}"),
]
WITHOUT_EFFECT = (
    "patch_size", "embed_dim", "channels", "depth", "num_classes", "learn_sigma", "class_dropout_prob",
    "drop_path_rate", "rms_norm", "skip", "fused_add_norm", "residual_in_fp32", "bimamba_type", "use_checkpoint",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect on the output"),
    "img_size": "side of the latents, or (height, width)",
    "patches_hw": "rows and columns of patches",
}


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """Blocks numbered from first to last, directions of the mixer apart; positions split into prefix and grid."""
    state = directions(one_column(state))
    table, patch = state.pop("pos_embed"), state["patch_embed.proj.weight"].shape[-1]
    prefix = 2 if "label_emb.embedding_table.weight" in state else 1
    grid = grid_of(table.shape[1] - prefix, patch, hints)
    state["pos_embed.prefix"], state["pos_embed.table"] = split_positions(table, prefix, *grid)
    return state


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    prefix, table = (state.pop(f"pos_embed.{end}") for end in ("prefix", "table"))
    return three_columns(one_way({**state, "pos_embed": torch.cat([prefix, table.flatten(0, 1)])[None]}))


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not: none."""
    return {}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    rows, columns, _ = state["pos_embed.table"].shape
    labels = state.get("label_emb.embedding_table.weight")
    norm = "layer" if "norm_f.bias" in state else "rms"
    embed: dict[str, Any] = {"time": {"use": "time_mlp", "frequencies": 0, "hidden": 4}}
    if labels is not None:
        embed["label"] = {"use": "table", "classes": len(labels) - 1}
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"tokens": ["time"] if labels is None else ["label", "time"], "embed": embed},
        "position": "learned",
        "mixer": mamba(state, "blocks.0.mixer."),
        "norm": norm,
        "skip": "hidden_stream" if any("skip_linear" in name for name in state) else "none",
        "final_norm": norm,
        "head": {"use": "linear", "norm": {"use": "layer", "affine": False, "eps": 1e-6},
                 "source": [] if labels is None else ["time", "label"]},
        "init": {"use": "default", "zero_bias": True},
    }  # fmt: skip
    learned = len(state["final_layer.linear.weight"]) == 2 * channels * patch * patch
    process = {"use": "discrete", "betas": "linear", "first": 0,
               "variance": "learned_range" if learned else "fixed_small"}  # fmt: skip
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone, "process": process,
            "loss": "hybrid_vlb" if learned else "simple"}  # fmt: skip
