"""Names of the published DiT checkpoints (arXiv 2212.09748)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.official import Rename, block_count, grid_of, split_positions

BLOCK = r"blocks\.(\d+)\."
NAMES = [
    Rename(r"x_embedder\.proj\.(weight|bias)", r"patch.proj.\1"),
    Rename(r"pos_embed", r"position.table"),
    Rename(r"t_embedder\.mlp\.0\.(weight|bias)", r"conditioning.embed.time.up.\1"),
    Rename(r"t_embedder\.mlp\.2\.(weight|bias)", r"conditioning.embed.time.down.\1"),
    Rename(r"y_embedder\.embedding_table\.weight", r"conditioning.embed.label.weight"),
    Rename(BLOCK + r"attn\.qkv\.(weight|bias)", r"blocks.\1.mixer.qkv.\2"),
    Rename(BLOCK + r"attn\.proj\.(weight|bias)", r"blocks.\1.mixer.out.\2"),
    Rename(BLOCK + r"mlp\.fc1\.(weight|bias)", r"blocks.\1.feedforward.up.\2"),
    Rename(BLOCK + r"mlp\.fc2\.(weight|bias)", r"blocks.\1.feedforward.down.\2"),
    Rename(BLOCK + r"adaLN_modulation\.1\.(weight|bias)", r"blocks.\1.modulation.proj.\2"),
    Rename(r"final_layer\.adaLN_modulation\.1\.(weight|bias)", r"head.modulation.\1"),
    Rename(r"final_layer\.linear\.(weight|bias)", r"head.proj.\1"),
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
    if "final_layer.linear.weight" not in state:
        raise CheckpointError("this is no published DiT state dict: it has no 'final_layer.linear.weight'")
    table, patch = state["pos_embed"], state["x_embedder.proj.weight"].shape[-1]
    grid = grid_of(table.shape[1], patch, {**hints, "sample_size": hints.get("input_size")})
    return {**state, "pos_embed": split_positions(table, 0, *grid)[1]}


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
        "depth": block_count(state, BLOCK),
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
    return {"shape": [channels, rows * patch, columns * patch], "backbone": backbone, "process": process}
