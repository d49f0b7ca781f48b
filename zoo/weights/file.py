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
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import CheckpointError
from zoo.weights.header import AGAIN, FORMAT, read_header

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
}  # fmt: skip

@dataclass(frozen=True)
class Weights:
    """The content of a weights file, on the CPU."""

    tensors: dict[str, Tensor]
    recipe_yaml: str
    card: dict[str, Any]


def save_weights(path: str | Path, tensors: Mapping[str, Tensor], recipe_yaml: str, card: Mapping[str, Any]) -> None:
    """Write a weights file; a crash leaves the old file or the new one, never a part.

    Tensors may be non-contiguous, share memory or live on a device; each is stored whole. The same content
    gives the same bytes.

    Raises: CheckpointError if a tensor cannot be stored, OSError if the disk refuses.
    """
    path = Path(path)
    whole = {name: tensors[name].detach().cpu().contiguous() for name in _order(tensors)}
    card_json = json.dumps(dict(card), sort_keys=True)
    header = framed(whole, recipe_yaml, card_json, digest(whole, recipe_yaml, card_json), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as aside, aside.open("wb") as file:
        file.write(header)
        for tensor in whole.values():
            file.write(raw(tensor))


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
        total.update(raw(tensor))
    return total.hexdigest()


def framed(tensors: Mapping[str, Tensor], recipe_yaml: str, card_json: str, sha256: str, where: str) -> bytes:
    """What stands before the tensors: the header's size, the header; the library orders its metadata by chance.

    Raises: CheckpointError if a tensor cannot be stored.
    """
    metadata = {"format": FORMAT, "recipe": recipe_yaml, "card": card_json, "sha256": sha256}
    entries: dict[str, Any] = {"__metadata__": metadata}
    start = 0
    for name in _order(tensors):
        tensor = tensors[name]
        if tensor.dtype not in TYPES or name == "__metadata__":
            raise CheckpointError(f"tensor {name!r} of type {tensor.dtype} cannot be stored", where=where)
        end = start + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    return len(text).to_bytes(8, "little") + text


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous tensor on the CPU."""
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")


def torch_type(kind: str) -> torch.dtype:
    """The type that a header calls so."""
    return next(dtype for dtype, name in TYPES.items() if name == kind)


def _order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Large elements first, so that each lies at a multiple of its size."""
    return sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))


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
