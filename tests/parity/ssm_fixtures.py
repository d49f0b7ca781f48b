"""Published outputs of DiS and ZigMa: one of each is kept here, the others beside the checkout where there are any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

KEPT = Path(__file__).parent / "fixtures/ssm"
FOLDERS = (KEPT, Path(__file__).parents[3] / "shared/fixtures/ssm")


def names(system: str) -> list[str]:
    """The fixtures of a system that are here."""
    return sorted({f.stem for folder in FOLDERS for f in folder.glob(f"{system}_*.json")})


def fixture(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor], int]:
    """The published settings, every tensor, the state dict, and its number of parameters."""
    folder = next(f for f in reversed(FOLDERS) if (f / f"{name}.json").exists())
    meta, tensors = json.loads((folder / f"{name}.json").read_text()), load_file(folder / f"{name}.safetensors")
    state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
    return meta["config"], tensors, state, meta["n_params"]


def assert_close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest value: inner streams reach 130, and both were computed in float32."""
    torch.testing.assert_close(ours, theirs, atol=1e-5 * theirs.abs().max().item(), rtol=0)
