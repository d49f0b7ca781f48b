"""Names of the published DiT checkpoints (arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.names import Rename
from zoo.interop.shapes import block_count, grid_of, split_positions

SIGNATURE = ("x_embedder.proj.weight", "blocks.0.attn.qkv.weight")
NAMES = [
    Rename("x_embedder.proj.{p}", "patch.proj.{p}"),
    Rename("pos_embed", "position.table"),
    Rename("t_embedder.mlp.0.{p}", "conditioning.embed.time.up.{p}"),
    Rename("t_embedder.mlp.2.{p}", "conditioning.embed.time.down.{p}"),
    Rename("y_embedder.embedding_table.weight", "conditioning.embed.label.weight"),
    Rename("blocks.{i}.attn.qkv.{p}", "blocks.{i}.mixer.qkv.{p}"),
    Rename("blocks.{i}.attn.proj.{p}", "blocks.{i}.mixer.out.{p}"),
    Rename("blocks.{i}.mlp.fc1.{p}", "blocks.{i}.feedforward.up.{p}"),
    Rename("blocks.{i}.mlp.fc2.{p}", "blocks.{i}.feedforward.down.{p}"),
    Rename("blocks.{i}.adaLN_modulation.1.{p}", "blocks.{i}.modulation.proj.{p}"),
    Rename("final_layer.adaLN_modulation.1.{p}", "head.modulation.{p}"),
    Rename("final_layer.linear.{p}", "head.proj.{p}"),
]
WITHOUT_EFFECT = (
    "patch_size", "in_channels", "hidden_size", "depth", "mlp_ratio", "class_dropout_prob", "num_classes",
    "learn_sigma",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect on the output"),
    "num_heads": "attention heads",
    "input_size": "side of the latents, or (height, width)",
    "patches_hw": "rows and columns of patches",
}
HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Width -> heads of the published models."""


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """The position table as a grid."""
    table, patch = state["pos_embed"], state["x_embedder.proj.weight"].shape[-1]
    return {**state, "pos_embed": split_positions(table, 0, *grid_of(table.shape[1], patch, hints))[1]}


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    return {**state, "pos_embed": state["pos_embed"].flatten(0, 1)[None]}


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    return {"num_heads": tree["backbone"]["mixer"].get("heads")}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    rows, columns, _ = state["pos_embed"].shape
    if "num_heads" not in hints and width not in HEADS:
        raise CheckpointError(f"shapes do not tell how many heads a model of width {width} has", fix="give num_heads=")
    norm = {"use": "layer", "affine": False, "eps": 1e-6}
    embed = {
        "time": {"use": "time_mlp", "frequencies": state["t_embedder.mlp.0.weight"].shape[1]},
        "label": {"use": "table", "classes": len(state["y_embedder.embedding_table.weight"]) - 1},
    }
    ratio = len(state["blocks.0.mlp.fc1.weight"]) // width
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"embed": embed},
        "position": "sincos",
        "mixer": {"use": "attention", "heads": hints.get("num_heads", HEADS.get(width)), "bias": True},
        "feedforward": {"use": "mlp", "ratio": ratio, "activation": "gelu_tanh"},
        "norm": norm,
        "modulation": {"use": "adaln_zero", "source": ["time", "label"]},
        "head": {"use": "linear", "norm": norm, "source": ["time", "label"], "zero": True},
        "init": "xavier",
    }
    learned = len(state["final_layer.linear.weight"]) == 2 * channels * patch * patch
    variance = "learned_range" if learned else "fixed_small"
    process = {"use": "discrete", "betas": "linear", "first": 0, "variance": variance}
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone, "process": process,
            "loss": "hybrid_vlb" if learned else "simple"}  # fmt: skip
