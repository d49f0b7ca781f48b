"""One self-describing file: tensors, the recipe that rebuilds their network, and a card.

The format is safetensors; metadata holds `format`, `recipe` (YAML), `card` (JSON) and `sha256`, a digest of
everything else, so that one flipped bit is found. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.weights.header import AGAIN, FORMAT, read_header


@dataclass(frozen=True)
class Weights:
    """The content of a weights file, on the CPU."""

    tensors: dict[str, Tensor]
    recipe_yaml: str
    card: dict[str, Any]


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], recipe_yaml: str, card: Mapping[str, Any]) -> None:
    """Write a weights file; a crash leaves the old file or the new one, never a part.

    Tensors may be non-contiguous, share memory or live on a device; each is stored whole.

    Raises: CheckpointError if a tensor cannot be stored, OSError if the disk refuses.
    """
    path, whole = Path(path), storable(tensors)
    metadata = {"format": FORMAT, "recipe": recipe_yaml, "card": json.dumps(dict(card), sort_keys=True)}
    metadata["sha256"] = digest(whole, metadata["recipe"], metadata["card"])
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside:
        aside.touch()
        mode = aside.stat().st_mode & 0o777
        try:
            save_file(whole, aside, metadata)
        except (SafetensorError, ValueError, RuntimeError) as error:
            raise CheckpointError(f"cannot write weights: {error}", where=str(path)) from None
        aside.chmod(mode)  # safetensors writes 0600, whatever the umask


def read_weights(path: str | Path) -> Weights:
    """Everything in a weights file, verified.

    Raises: CheckpointError if the file is missing, damaged, foreign or a pickle.
    """
    header = read_header(path)
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"damaged weights file: {error}", where=str(path), fix=AGAIN) from None
    if digest(tensors, header.recipe_yaml, header.card_json) != header.sha256:
        raise CheckpointError("damaged weights file: its content does not match its sha256", where=str(path), fix=AGAIN)
    return Weights(tensors, header.recipe_yaml, header.card)


def digest(tensors: Mapping[str, Tensor], recipe_yaml: str, card: str) -> str:
    """sha256 over recipe and card, and over each tensor's name, type, shape and bytes."""
    total = hashlib.sha256(json.dumps([FORMAT, recipe_yaml, card]).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        total.update(json.dumps([name, str(tensor.dtype), *tensor.shape]).encode())
        if tensor.numel():
            total.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return total.hexdigest()


def storable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, contiguous, and each alone in its memory, as safetensors wants them."""
    whole, taken = {}, set()
    for name, tensor in tensors.items():
        plain = tensor.detach().cpu().contiguous()
        place = plain.untyped_storage().data_ptr()
        whole[name] = plain.clone() if place in taken else plain
        taken.add(place)
    return whole


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which takes its place, synced to disk, when the block ends well."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        _sync(aside)
        os.replace(aside, path)
        _sync(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Make a file, or a folder's entries, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
