"""Names of the published ZigMa checkpoints (arXiv 2403.13802)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop import zigma_text
from zoo.interop.names import DIT_FRAME, MAMBA_BLOCK, Layout, Rename, only
from zoo.interop.shapes import block_count, directions, grid_of, labels, mamba, one_way

SIGNATURE = ("x_embedder.proj.weight", "blocks.0.mixer.in_proj.weight", "norm_f.weight")
FRAMES = Layout(lambda x: only(x)[:, None, None], lambda x: x[None, :, 0, 0])
WITHOUT_TEXT = [*DIT_FRAME, *MAMBA_BLOCK, Rename("temporal_pos_embedding", "position.frames", FRAMES)]
NAMES = [*WITHOUT_TEXT, *zigma_text.NAMES]
NOT_PUBLISHED = ("conditioning.embed.text.empty",)
WITHOUT_EFFECT = ("in_channels", "embed_dim", "patch_size", "depth", "num_classes", "tpe")
HINTS = {
    **dict.fromkeys(WITHOUT_EFFECT, "told by the shapes"),
    "img_dim": "side of the latents, or (height, width)",
    "patches_hw": "rows and columns of patches",
    "scan_type": "zigzagN1 to zigzagN8 (default), hilbertN1 to hilbertN8, v2, or zzvideo_ and a pattern of s and t",
    "use_pe": "2 learned positions (default), 1 frozen sines and cosines",
    "video_frames": "frames of a video model",
    "text_tokens": "tokens of a text, 77 by default",
    "temporal_inverse": "swapped: blocks over time write backwards, as the released code does; right (default)",
}


def regroup(state: dict[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Tensor]:
    """Directions of the mixer apart; positions as a grid; blocks over time marked if they write backwards; text."""
    state = zigma_text.by_role(state, WITHOUT_TEXT)
    if "blocks.0.mixer.A_b_log" in state:
        state = directions(state)
    if "pos_embed" in state:
        table, frames = only(state["pos_embed"]), _frames(state, hints)
        grid = grid_of(len(table) // (frames or 1), state["x_embedder.proj.weight"].shape[-1], hints)
        state["pos_embed"] = table.unflatten(0, (frames, *grid) if frames else grid)

    def place(m: re.Match[str]) -> str:
        return f"{m[0]}inner." if _swapped(int(m[1]), hints) else m[0]

    return {re.sub(r"^blocks\.(\d+)\.mixer\.", place, name): tensor for name, tensor in state.items()}


def ungroup(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `regroup`, but for text."""
    zigma_text.refuse(state)
    state = one_way({name.replace(".mixer.inner.", ".mixer."): tensor for name, tensor in state.items()})
    if "pos_embed" in state:
        state["pos_embed"] = state["pos_embed"].flatten(0, -2)[None]
    return state


def settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The hints that tell what shapes do not."""
    scan, mixer, position = (tree["backbone"][slot] for slot in ("scan", "mixer", "position"))
    counted = f"{scan['use']}N{scan.get('count')}"
    names = {"raster": "v2", "space_time": f"zzvideo_{scan.get('pattern')}"}
    known = {
        "scan_type": names.get(scan["use"], counted),
        "use_pe": {"none": 0, "sincos": 1}.get(position["use"], 2),
        "temporal_inverse": "swapped" if isinstance(mixer, list) else "right",
    }
    return {**known, "video_frames": tree["shape"][0]} if len(tree["shape"]) == 4 else known


def recipe(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe that these tensors belong to."""
    width, channels, patch, _ = state["x_embedder.proj.weight"].shape
    frames, table = _frames(state, hints), state.get("y_embedder.embedding_table.weight")
    rows, columns = _grid(state, patch, hints)
    mixer = mamba(state, "blocks.0.mixer." + ("inner." if _swapped(0, hints) else ""))
    scan_type = "v2" if mixer["use"] == "bimamba" else hints.get("scan_type", "zzvideo_sst" if frames else "zigzagN8")
    embed: dict[str, Any] = {"time": {"use": "time_mlp", "frequencies": state["t_embedder.mlp.0.weight"].shape[1]}}
    if table is not None:
        embed["label"] = labels(table, null=False)
    cross, block = zigma_text.sublayer(state, embed, hints)
    norm = "layer" if "norm_f.bias" in state else "rms"
    backbone = {
        "width": width,
        "depth": block_count(state, r"blocks\.(\d+)\."),
        "patch": {"use": "conv", "size": patch},
        "conditioning": {"embed": embed},
        "position": _position(state, frames, hints),
        "scan": _scan(scan_type),
        "mixer": _mixers(mixer, hints),
        "cross": cross,
        "norm": norm,
        "modulation": {"use": "adaln_zero", "source": list(embed)},
        "block": block,
        "final_norm": norm,
        "head": {"use": "linear", "norm": {"use": "layer", "affine": False, "eps": 1e-6}},
        "init": {"use": "default", "zero_bias": True},
    }
    return {
        "shape": [*([frames] if frames else []), channels, rows * patch, columns * patch],
        "backbone": backbone,
        "process": {"use": "flow", "clock": "data"},
        "sampler": {"use": "sde", "steps": 250},
    }


def _frames(state: Mapping[str, Tensor], hints: Mapping[str, Any]) -> int:
    """Frames of a video model, 0 of an image model."""
    temporal = state.get("temporal_pos_embedding")
    return hints.get("video_frames") or (0 if temporal is None else temporal.shape[1])


def _grid(state: Mapping[str, Tensor], patch: int, hints: Mapping[str, Any]) -> tuple[int, int]:
    if "pos_embed" in state:
        rows, columns = state["pos_embed"].shape[-3:-1]
        return rows, columns
    if "patches_hw" in hints:
        return hints["patches_hw"]
    if "img_dim" not in hints:
        raise CheckpointError("without positions, nothing here tells the size of the images", fix="give img_dim=")
    size = hints["img_dim"]
    rows, columns = size if isinstance(size, (list, tuple)) else (size, size)
    return rows // patch, columns // patch


def _position(state: Mapping[str, Tensor], frames: int, hints: Mapping[str, Any]) -> Any:
    if "pos_embed" not in state:
        if hints.get("use_pe") in (1, 2):
            raise CheckpointError(f"use_pe={hints['use_pe']}, but there is no 'pos_embed' in this state dict")
        return "none"
    if hints.get("use_pe", 2) == 1:
        return "sincos"
    return {"use": "space_time", "frames": "temporal_pos_embedding" in state} if frames else "learned"


def _scan(scan_type: str) -> Any:
    if scan_type == "v2":
        return "raster"
    if match := re.fullmatch(r"(zigzag|hilbert)N([1-8])", scan_type):
        shipped = {"inverse": True} if match[1] == "hilbert" else {}
        return {"use": match[1], "count": int(match[2]), **shipped}
    if match := re.fullmatch(r"(?:zz)?video_([st]+)", scan_type):
        return {"use": "space_time", "pattern": match[1]}
    lost = "; the orders of a random scan are not in the checkpoint" if scan_type.startswith("random") else ""
    raise CheckpointError(f"scan_type {scan_type!r} cannot be built{lost}", allowed=HINTS["scan_type"])


def _swapped(i: int, hints: Mapping[str, Any]) -> bool:
    """Whether block i writes backwards."""
    pattern = _pattern(hints)
    return hints.get("temporal_inverse") == "swapped" and pattern[i % len(pattern)] == "t"


def _pattern(hints: Mapping[str, Any]) -> str:
    """What successive blocks of a video model scan, s or t."""
    return hints.get("scan_type", "zzvideo_sst").partition("video_")[2] or "s"


def _mixers(mixer: dict[str, Any], hints: Mapping[str, Any]) -> Any:
    """One mixer, or a list over the pattern if some of them write backwards."""
    turns = [_swapped(i, hints) for i in range(len(_pattern(hints)))]
    listed = [{"use": "written_backwards", "mixer": mixer} if turn else mixer for turn in turns]
    return listed if any(turns) else mixer
