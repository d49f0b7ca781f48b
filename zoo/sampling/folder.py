"""A folder of samples: one PNG an image, and `sample.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from zoo.sampling.picture import save_singles, single
from zoo.sampling.record import check_record, made_otherwise, write_record
from zoo.sampling.size import Size


class Folder:
    """`000007.png` is image 7."""

    def __init__(self, path: Path):
        self.path, self.record = path, path / "sample.json"

    def check(self, wanted: dict[str, Any]) -> None:
        """Raises: ZooError if the folder already holds other samples; it says what differs."""
        strangers = any(self.path.glob("[0-9]*.png"))  # looked for first: another process may open the folder now
        if self.record.exists():
            check_record(self.record.read_bytes(), wanted, self.record)
        elif strangers:
            raise made_otherwise("no sample.json beside them", self.record)

    def open(self, wanted: dict[str, Any]) -> None:
        """Write the record."""
        write_record(self.record, wanted)

    def missing(self, images: int, size: Size) -> list[int]:
        """The numbers whose file is not there yet, or is not a picture of this size."""
        return [i for i in range(images) if not _is_picture(single(self.path, i), size)]

    def count(self, images: int) -> int:
        """How many files are there."""
        return min(sum(1 for _ in self.path.glob("[0-9]*.png")), images)

    def save(self, block: Sequence[tuple[int, np.ndarray]]) -> None:
        """One file an image; those that are there already stay."""
        new = [(i, x) for i, x in block if not _is_picture(single(self.path, i), (x.shape[0], x.shape[1]))]
        save_singles(new, self.path)

    def finish(self, images: int, labels: Mapping[str, Tensor]) -> None:
        """Nothing more: every image has its own file."""

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Saved pictures as (H,W,C) uint8."""
        return [_pixels(single(self.path, i)) for i in numbers]

    def picture(self, name: str) -> Path:
        """Beside the samples."""
        return self.path / f"{name}.png"


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _is_picture(path: Path, size: Size) -> bool:
    if not path.exists():
        return False
    try:
        with Image.open(path) as picture:
            picture.load()
            return (picture.height, picture.width) == tuple(size)
    except (OSError, SyntaxError, ValueError):
        return False
