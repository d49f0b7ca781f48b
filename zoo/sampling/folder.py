"""A folder of samples: one file an image or video, and `sample.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from zoo.sampling.form import ENDINGS, Form
from zoo.sampling.picture import single
from zoo.sampling.record import check_record, made_otherwise, write_record
from zoo.sampling.size import Size


class Folder:
    """`000007.png` is image 7, `000007.gif` video 7."""

    def __init__(self, path: Path, form: Form):
        self.path, self.form, self.record = path, form, path / "sample.json"

    def check(self, wanted: dict[str, Any]) -> None:
        """Raises: ZooError if the folder already holds other samples; it says what differs."""
        strangers = any(self._samples())  # looked for first: another process may open the folder now
        if self.record.exists():
            check_record(self.record.read_bytes(), wanted, self.record)
        elif strangers:
            raise made_otherwise("no sample.json beside them", self.record)

    def open(self, wanted: dict[str, Any]) -> None:
        """Write the record."""
        write_record(self.record, wanted)

    def missing(self, images: int, size: Size) -> list[int]:
        """The numbers whose file is not there yet, or is not a picture or video of this size."""
        return [i for i in range(images) if not self.form.whole(self._file(i), size)]

    def count(self, images: int) -> int:
        """How many files are there."""
        return min(sum(1 for _ in self._samples()), images)

    def save(self, block: Sequence[tuple[int, np.ndarray]]) -> None:
        """One file an image or video; those that are there already stay."""
        for i, sample in block:
            if not self.form.whole(self._file(i), (sample.shape[-3], sample.shape[-2])):
                self.form.save(sample, self._file(i))

    def finish(self, images: int, labels: Mapping[str, Tensor]) -> None:
        """Nothing more: every image has its own file."""

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Saved pictures as (H,W,C) uint8, videos as (T,H,W,C)."""
        return [self.form.read(self._file(i)) for i in numbers]

    def picture(self, name: str) -> Path:
        """Beside the samples."""
        return self.path / f"{name}{self.form.ending}"

    def _file(self, number: int) -> Path:
        return single(self.path, number, self.form.ending)

    def _samples(self) -> Iterator[Path]:
        return (path for path in self.path.glob("[0-9]*") if path.suffix in ENDINGS)
