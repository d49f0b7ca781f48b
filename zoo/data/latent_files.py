"""Latents on disk: a folder with an index and shards of moments, labels and names.

    latents/index.json                what they are: autoencoder, scale, size, classes; and every shard with its sha256
            train-00000.safetensors   moments (N,F,2c,h,w), F = 2 if there are mirrored copies; labels (N,) by name

Of clips, moments are (N,F,T,2c,h,w) and the size is [T,H,W]. A shard is complete or not there, and the same images
give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zoo.data.protocols import Split
from zoo.errors import CheckpointError, DataError
from zoo.weights.file import replacing, save_weights
from zoo.weights.header import read_header

INDEX, FORMAT = "index.json", 1
TYPES = {"F16": np.float16, "F32": np.float32, "I64": np.int64}


def shard_name(split: str, number: int) -> str:
    """The file of a shard."""
    return f"{split}-{number:05d}.safetensors"


def write_shard(path: Path, moments: torch.Tensor, labels: dict[str, np.ndarray], names: list[str],
                plan: str) -> None:  # fmt: skip
    """One shard; `plan` says what it is a part of, see `is_part_of`."""
    tensors = {"moments": moments, **{f"label/{name}": torch.from_numpy(values) for name, values in labels.items()}}
    save_weights(path, tensors, "", {"plan": plan, "names": names})


def is_part_of(path: Path, plan: str) -> bool:
    """Whether a shard is there and was made under this plan."""
    try:
        return path.exists() and read_header(path).card.get("plan") == plan
    except CheckpointError:
        return False


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """The index, last of all: a folder without one is not complete."""
    with replacing(folder / INDEX) as aside:
        aside.write_text(json.dumps(index, indent=1), encoding="utf-8")


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of latents.

    Raises: DataError if there is none, or it is not one of ours.
    """
    path = folder / INDEX
    if not path.is_file():
        unfinished = any(folder.glob("*.safetensors")) if folder.is_dir() else False
        fix = "run zoo-data encode again, it goes on where it stopped" if unfinished else "zoo-data encode makes them"
        raise DataError("there are no finished latents" if unfinished else "there are no latents", where=str(folder),
                        fix=fix)
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        known = index["format"] == FORMAT and {"size", "scale", "shift", "autoencoder", "shards"} <= index.keys()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"unreadable index ({type(error).__name__})", where=str(path)) from None
    if not known:
        raise DataError("an index of another format", where=str(path))
    return index


def things(index: dict[str, Any]) -> str:
    """What the latents are of: images, or clips."""
    return "clips" if len(index["size"]) == 3 else "images"


def verify(folder: Path, index: dict[str, Any]) -> list[str]:
    """What is wrong with the shards, a line each."""
    wrong = []
    for shard in index["shards"]:
        path = folder / shard["file"]
        if not path.is_file():
            wrong.append(f"{path}: missing")
        elif file_sha256(path) != shard["sha256"]:
            wrong.append(f"{path}: its sha256 is not the index's")
    return wrong


def file_sha256(path: Path) -> str:
    """The digest of a file."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()


class Shards:
    """The shards of one split, mapped into memory; every process opens its own."""

    def __init__(self, folder: Path, index: dict[str, Any], split: Split):
        self.paths = [folder / s["file"] for s in index["shards"] if s["split"] == split]
        rows = [s["rows"] for s in index["shards"] if s["split"] == split]
        self.ends = np.cumsum(rows, dtype=np.int64)
        self._open: dict[int, dict[str, np.ndarray]] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_open": {}}

    def at(self, row: int) -> tuple[dict[str, np.ndarray], int]:
        """The arrays of the shard that holds a row, and the row in it."""
        number = int(np.searchsorted(self.ends, row, side="right"))
        if number not in self._open:
            self._open[number] = _mapped(self.paths[number])
        return self._open[number], row - (int(self.ends[number - 1]) if number else 0)

    def labels(self, name: str) -> np.ndarray:
        """A label of every row, int64."""
        starts = [0, *self.ends[:-1].tolist()]
        parts = [self.at(start)[0][f"label/{name}"] for start in starts] if len(self) else []
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)

    def name(self, row: int) -> str:
        """What a row was made from, for messages."""
        number = int(np.searchsorted(self.ends, row, side="right"))
        return read_header(self.paths[number]).card["names"][self.at(row)[1]]


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard; nothing is read until it is needed."""
    try:
        shapes = read_header(path).shapes
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (CheckpointError, OSError, ValueError) as error:
        raise DataError(str(error), where=str(path), fix="zoo-data check tells what is damaged") from None
    arrays = {}
    for name, (kind, shape) in shapes.items():
        start = 8 + size + header[name]["data_offsets"][0]
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(content, TYPES[kind], count, start).reshape(shape)
    return arrays
