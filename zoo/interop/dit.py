"""Names of the published DiT checkpoints (arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.interop.names import DIT_FRAME, TRANSFORMER_BLOCK, Rename, only
from zoo.interop.shapes import block_count, gaussian, grid_of, heads, labels

SIGNATURE = ("x_embedder.proj.weight", "blocks.0.attn.qkv.weight")
NAMES = [*DIT_FRAME, *TRANSFORMER_BLOCK, Rename("final_layer.adaLN_modulation.1.{p}", "head.modulation.{p}")]
WITHOUT_EFFECT = (
    "patch_size", "in_channels", "hidden_size", "depth", "mlp_ratio", "num_classes", "learn_sigma",
)  # fmt: skip
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes, or without effect on the output"),
    "num_heads": "attention heads",
    "class_dropout_prob": "0 if no row of the labels' table means none of them",
    "input_size": "side of the latents, or (height, width)",
    "patches_hw": "rows and columns of patches",
}
HEADS = {384: 6, 768: 12, 1024: 16, 1152: 16}
"""Width -> heads of the published models."""


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """The position table as a grid."""
    table, patch = only(state["pos_embed"]), state["x_embedder.proj.weight"].shape[-1]
    return {**state, "pos_embed": table.unflatten(0, grid_of(len(table), patch, hints))}


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`."""
    return {**state, "pos_embed": state["pos_embed"].flatten(0, 1)[None]}


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    label = tree["backbone"]["conditioning"]["embed"].get("label") or {}
    unguided = {} if label.get("null", True) else {"class_dropout_prob": 0.0}
    return {"num_heads": tree["backbone"]["mixer"].get("heads"), **unguided}


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    rows, columns, _ = state["pos_embed"].shape
    norm = {"use": "layer", "affine": False, "eps": 1e-6}
    embed = {
        "time": {"use": "time_mlp", "frequencies": state["t_embedder.mlp.0.weight"].shape[1]},
        "label": labels(state["y_embedder.embedding_table.weight"], hints.get("class_dropout_prob", 0.1) > 0),
    }
    ratio = len(state["blocks.0.mlp.fc1.weight"]) // width
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"embed": embed},
        "position": "sincos",
        "mixer": {"use": "attention", "heads": heads(width, hints, HEADS), "bias": True},
        "feedforward": {"use": "mlp", "ratio": ratio, "activation": "gelu_tanh"},
        "norm": norm,
        "modulation": {"use": "adaln_zero", "source": ["time", "label"]},
        "head": {"use": "linear", "norm": norm, "source": ["time", "label"], "zero": True},
        "init": "xavier",
    }
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone,
            **gaussian(len(state["final_layer.linear.weight"]), channels, patch)}  # fmt: skip
