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

AVERAGED = ("ema", "model_ema", "nnet_ema", "ema_model", "ema_state_dict", "state_dict_ema", "params_ema", "shadow")
TRAINED = ("model", "nnet", "net", "state_dict", "model_state_dict", "params", "module")
"""Under which keys, or in front of which names, training programs keep weights; `module` by DDP and `AveragedModel`."""
COMPILED = "_orig_mod."
"""What torch.compile puts into names."""
COUNTER = "n_averaged"
"""What torch's AveragedModel keeps beside its weights."""


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
    state = unwrapped(content, ema)
    if not state:
        raise CheckpointError("no weights in this file", where=str(path), fix="give a state dict, or a dict with 'ema'")
    return state


def unwrapped(content: Any, ema: bool = True) -> dict[str, Tensor]:
    """The tensors that a training program wrapped, once or several times, under their published names.

    Args:
        content: a state dict, possibly with `module.` or `_orig_mod.` in all its names, or a dict around one.
        ema: prefer averaged weights; else such are never taken.
    """
    content = content if isinstance(content, Mapping) else {}
    tensors = {str(k).replace(COMPILED, ""): v for k, v in content.items() if isinstance(v, Tensor) and k != COUNTER}
    wrappers = (*AVERAGED, *TRAINED) if ema else TRAINED
    inside = {key: content[key] for key in wrappers if isinstance(content.get(key), Mapping)}
    if not inside and {name.partition(".")[0] for name in tensors} <= {*AVERAGED, *TRAINED}:
        inside = {key: _below(tensors, key) for key in wrappers}
    chosen = next(filter(None, inside.values()), None)
    return unwrapped(chosen, ema) if chosen else {} if inside else tensors


def _below(tensors: Mapping[str, Tensor], key: str) -> dict[str, Tensor]:
    """Those whose names begin with `key`, without it."""
    return {name.removeprefix(f"{key}."): tensor for name, tensor in tensors.items() if name.startswith(f"{key}.")}


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
