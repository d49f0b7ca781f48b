"""Names of the published DiS checkpoints (arXiv 2402.05608)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.interop.names import MAMBA_BLOCK, UVIT_FRAME, Rename
from zoo.interop.shapes import (
    block_count,
    directions,
    gaussian,
    join_positions,
    labels,
    mamba,
    one_column,
    one_way,
    split_positions,
    three_columns,
)

SIGNATURE = ("patch_embed.proj.weight", "in_blocks.0.mixer.A_b_log")
LABELS = "label_emb.embedding_table.weight"
NAMES = [
    *UVIT_FRAME,
    *MAMBA_BLOCK,
    Rename(LABELS, "conditioning.embed.label.weight"),
    Rename("blocks.{i}.skip_linear.{p}", "blocks.{i}.skip.{p}"),
    Rename("final_layer.adaLN_modulation.1.{p}", "head.modulation.{p}"),
    Rename("final_layer.linear.{p}", "head.proj.{p}"),
]
WITHOUT_EFFECT = (
    "patch_size", "embed_dim", "channels", "depth", "num_classes", "learn_sigma", "drop_path_rate", "rms_norm",
    "skip", "fused_add_norm", "residual_in_fp32", "bimamba_type", "use_checkpoint",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect on the output"),
    "class_dropout_prob": "0 if no row of the labels' table means none of them",
    "img_size": "side of the latents, or (height, width)",
    "patches_hw": "rows and columns of patches",
}


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """Blocks numbered from first to last, directions of the mixer apart; positions split into prefix and grid."""
    state = directions(one_column(state))
    split_positions(state, "pos_embed", 2 if LABELS in state else 1, state["patch_embed.proj.weight"].shape[-1], hints)
    return state


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    join_positions(state, "pos_embed")
    return three_columns(one_way(state))


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    label = tree["backbone"]["conditioning"]["embed"].get("label") or {}
    return {} if label.get("null", True) else {"class_dropout_prob": 0.0}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["patch_embed.proj.weight"].shape
    rows, columns, _ = state["pos_embed.table"].shape
    table = state.get(LABELS)
    norm = "layer" if "norm_f.bias" in state else "rms"
    embed: dict[str, Any] = {"time": {"use": "time_mlp", "frequencies": 0, "hidden": 4}}
    if table is not None:
        embed["label"] = labels(table, hints.get("class_dropout_prob", 0.1) > 0)
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"tokens": ["time"] if table is None else ["label", "time"], "embed": embed},
        "position": "learned",
        "mixer": mamba(state, "blocks.0.mixer."),
        "norm": norm,
        "skip": "hidden_stream" if any("skip_linear" in name for name in state) else "none",
        "final_norm": norm,
        "head": {"use": "linear", "norm": {"use": "layer", "affine": False, "eps": 1e-6},
                 "source": [] if table is None else ["time", "label"]},
        "init": {"use": "default", "zero_bias": True},
    }  # fmt: skip
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone,
            **gaussian(len(state["final_layer.linear.weight"]), channels, patch)}  # fmt: skip
