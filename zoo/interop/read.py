"""Published files: a state dict out of .pt, .pth or .safetensors, without running anything inside."""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import CheckpointError

INSIDE = (("ema", "model_ema", "nnet_ema", "model", "nnet", "state_dict"), ("model", "nnet", "state_dict"))
"""Where training programs keep weights: averaged first, or never."""


def read_official(path: str | Path, ema: bool = True) -> dict[str, Tensor]:
    """The tensors of a published file under their published names.

    Args:
        ema: of a training checkpoint, prefer the averaged weights.

    Raises: CheckpointError if the file is missing, damaged, or holds anything but tensors and plain settings.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError("no such file", where=str(path))
    content = _safetensors(path) if path.suffix == ".safetensors" else _pickled(path)
    state = _weights(content, ema)
    if not state:
        raise CheckpointError("no weights in this file", where=str(path), fix="give a state dict, or a dict with 'ema'")
    stem = "module." if all(name.startswith("module.") for name in state) else ""
    return {name.removeprefix(stem): tensor for name, tensor in state.items()}


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"damaged weights file: {error}", where=str(path)) from None


def _pickled(path: Path) -> Any:
    """DiT and ZigMa keep their command line, a plain Namespace, beside the tensors."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"this pickle holds more than tensors, or is damaged; it was not opened: {reason}",
                              where=str(path), fix="ask its author for safetensors") from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"damaged weights file: {error}", where=str(path)) from None


def _weights(content: Any, ema: bool) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for key in INSIDE[0 if ema else 1]:
        if isinstance(content.get(key), Mapping):
            return _weights(content[key], ema)
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
