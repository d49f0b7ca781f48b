"""What the shapes and the names of published tensors tell."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.interop.names import only


def split_positions(state: dict[str, Tensor], name: str, prefix: int, patch: int, hints: Mapping[str, Any]) -> None:
    """A published table (1,prefix+cells,D) -> `name.prefix` (prefix,D) and `name.table` (height,width,D)."""
    table = only(state.pop(name))
    grid = grid_of(len(table) - prefix, patch, hints)
    state[f"{name}.prefix"], state[f"{name}.table"] = table[:prefix], table[prefix:].unflatten(0, grid)


def join_positions(state: dict[str, Tensor], name: str) -> None:
    """The inverse of `split_positions`."""
    prefix, table = (state.pop(f"{name}.{end}") for end in ("prefix", "table"))
    state[name] = torch.cat([prefix, table.flatten(0, 1)])[None]


def grid_of(cells: int, patch: int, hints: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns: as hinted, else the factors of `cells` nearest to each other, more rows than columns."""
    sizes = ("input_hw", "sample_size", "img_size", "input_size", "img_dim")
    for name, unit in (("patches_hw", 1), *((size, patch) for size in sizes)):
        size = hints.get(name) or 0
        rows, columns = size if isinstance(size, (list, tuple)) else (size, size)
        if (rows // unit) * (columns // unit) == cells:
            return rows // unit, columns // unit
    columns = max(c for c in range(1, cells + 1) if cells % c == 0 and c * c <= cells)
    return cells // columns, columns


def heads(width: int, hints: Mapping[str, Any], published: Mapping[int, int]) -> int:
    """Attention heads: as hinted, else those of the published model of this width."""
    if "num_heads" not in hints and width not in published:
        raise CheckpointError(f"shapes do not tell how many heads a model of width {width} has", fix="give num_heads=")
    return hints.get("num_heads") or published[width]


def labels(table: Tensor, null: bool) -> dict[str, Any]:
    """The recipe of a table of labels, whose last row means none of them if `null`."""
    return {"use": "table", "classes": len(table) - null, "null": null}


def gaussian(values: int, channels: int, patch: int) -> dict[str, Any]:
    """Process and loss of DiT, also of DiS: 1000 linear betas, the variance learned if the head has room for it."""
    learned = values == 2 * channels * patch * patch
    variance = "learned_range" if learned else "fixed_small"
    return {"process": {"use": "discrete", "betas": "linear", "first": 0, "variance": variance},
            "loss": "hybrid_vlb" if learned else "simple"}  # fmt: skip


def block_count(state: Mapping[str, Any], pattern: str) -> int:
    """How many different numbers the first group of `pattern` takes among the names."""
    return len({m.group(1) for name in state if (m := re.match(pattern, name))})


def one_column(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """in_blocks.i, mid_block, out_blocks.j -> blocks.n, from first to last."""
    half = block_count(state, r"in_blocks\.(\d+)\.")

    def place(m: re.Match[str]) -> str:
        return f"blocks.{half + (0 if m[1] == 'mid_block' else 1 + int(m[2]))}."

    named = {re.sub(r"^in_blocks\.", "blocks.", name): tensor for name, tensor in state.items()}
    return {re.sub(r"^(mid_block|out_blocks)(?:\.(\d+))?\.", place, name): tensor for name, tensor in named.items()}


def three_columns(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """blocks.n -> in_blocks.i, mid_block, out_blocks.j: the inverse of `one_column`."""
    half = block_count(state, r"blocks\.(\d+)\.") // 2

    def place(m: re.Match[str]) -> str:
        i = int(m[1])
        return f"in_blocks.{i}." if i < half else "mid_block." if i == half else f"out_blocks.{i - half - 1}."

    return {re.sub(r"^blocks\.(\d+)\.", place, name): tensor for name, tensor in state.items()}


ONE_WAY = re.compile(r"\.mixer\.(conv1d|x_proj|dt_proj|A|D)(_b)?(_log)?(\.\w+)?$")
EITHER_WAY = re.compile(r"\.mixer\.directions\.(\d)\.(conv1d|x_proj|dt_proj|A|D)(_log)?(\.\w+)?$")


def directions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The two directions of a Vim-v2 mixer, X and X_b, as directions.0.X and directions.1.X."""
    new = r".mixer.directions.{}.\1\3\4"
    return {ONE_WAY.sub(lambda m: m.expand(new.format(1 if m[2] else 0)), n): t for n, t in state.items()}


def one_way(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `directions`."""
    return {EITHER_WAY.sub(lambda m: f".mixer.{m[2]}{'_b' * int(m[1])}{m[3] or ''}{m[4] or ''}", n): t
            for n, t in state.items()}  # fmt: skip


def mamba(state: Mapping[str, Tensor], stem: str) -> dict[str, Any]:
    """The recipe of the Mamba mixer, of one direction or two, whose published tensors begin with `stem`."""
    both = stem + "directions.0." if stem + "directions.0.A_log" in state else stem
    inner, size = state[both + "A_log"].shape
    width, rank = state[stem + "out_proj.weight"].shape[0], state[both + "dt_proj.weight"].shape[1]
    return {"use": "mamba" if both == stem else "bimamba", "state": size, "expand": inner // width,
            "conv": state[both + "conv1d.weight"].shape[-1],
            "dt_rank": 0 if rank == math.ceil(width / 16) else rank}  # fmt: skip
