"""Samples as one npz file, the form in which evaluation suites read 50,000 images.

`arr_0` is (N,H,W,C) uint8, of videos (N,T,H,W,C); `labels` is (N,) int64, or (N,k) for a model with k inputs, named by
`label_names`; `record` is the text of the record. Until all images are there, they stand in `NAME.npz.parts`, a file a
block.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from zoo.errors import ZooError
from zoo.sampling.form import Form
from zoo.sampling.record import INCIDENTAL, check_record, made_otherwise, write_record
from zoo.sampling.size import Size

LOOKS = ("format", "fps")
"""Of the grid in motion; what the file holds does not depend on it."""


class Part(NamedTuple):
    """Images start..stop-1, in a file of their own."""

    start: int
    stop: int
    path: Path


class Npz:
    """One file when it is finished, and never half of it."""

    def __init__(self, path: Path, form: Form):
        self.path, self.form = path, form
        self.parts = path.with_name(path.name + ".parts")
        self.record = self.parts / "sample.json"

    def check(self, wanted: dict[str, Any]) -> None:
        """Raises: ZooError if there are other samples; a finished file also counts its images."""
        if self.record.exists():
            check_record(self.record.read_bytes(), wanted, self.record, (*INCIDENTAL, *LOOKS))
        if self.path.exists():
            incidental = [key for key in (*INCIDENTAL, *LOOKS) if key != "images"]
            check_record(_text(self.path), wanted, self.path, incidental)

    def open(self, wanted: dict[str, Any]) -> None:
        """Write the record, unless all is done."""
        if not self.path.exists():
            write_record(self.record, wanted)

    def missing(self, images: int, size: Size) -> list[int]:
        """The numbers that stand in no part yet; none if the file is there."""
        held = set()
        for part in self._parts():
            if self._is_whole(part, size):
                held.update(range(part.start, part.stop))
            else:
                part.path.unlink(missing_ok=True)
        return [] if self.path.exists() else [i for i in range(images) if i not in held]

    def count(self, images: int) -> int:
        """How many images the names of the parts promise."""
        held = {i for part in self._parts() for i in range(part.start, part.stop)}
        return images if self.path.exists() else min(len(held), images)

    def save(self, block: Sequence[tuple[int, np.ndarray]]) -> None:
        """A part of its own."""
        start, stop = block[0][0], block[-1][0] + 1
        path = self.parts / f"{start:08d}-{stop:08d}.npy"
        aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        with aside.open("wb") as file:
            np.save(file, np.stack([image for _, image in block]))
        os.replace(aside, path)

    def finish(self, images: int, labels: Mapping[str, Tensor]) -> None:
        """All parts in one file, a part at a time in memory; then the parts go."""
        if self.path.exists():
            return
        aside = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        try:
            self._write(aside, images, labels)
            os.replace(aside, self.path)
        except FileNotFoundError:  # another process was quicker, and has cleared up
            if not self.path.exists():
                raise
        finally:
            aside.unlink(missing_ok=True)
        shutil.rmtree(self.parts, ignore_errors=True)

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Images (H,W,C) or videos (T,H,W,C) uint8 of the finished file; it is read up to the last of them."""
        wanted, found = set(numbers), {}
        with zipfile.ZipFile(self.path) as archive, archive.open("arr_0.npy") as file:
            shape = _shape(file)
            for i in range(max(numbers) + 1):
                pixels = file.read(int(np.prod(shape[1:])))
                if i in wanted:
                    found[i] = np.frombuffer(pixels, np.uint8).reshape(shape[1:])
        return [found[i] for i in numbers]

    def picture(self, name: str) -> Path:
        """Beside the file, under its name."""
        return self.path.with_name(f"{self.path.stem}-{name}{self.form.ending}")

    def _parts(self) -> list[Part]:
        names = [(path, path.stem.partition("-")) for path in sorted(self.parts.glob("[0-9]*-[0-9]*.npy"))]
        return [Part(int(start), int(stop), path) for path, (start, _, stop) in names]

    def _is_whole(self, part: Part, size: Size) -> bool:
        try:
            shape = np.load(part.path, mmap_mode="r").shape
        except (OSError, ValueError, EOFError):
            return False
        frames = (self.form.frames,) if self.form.frames else ()
        return shape[:-1] == (part.stop - part.start, *frames, *size)

    def _write(self, path: Path, images: int, labels: Mapping[str, Tensor]) -> None:
        text = self.record.read_text(encoding="utf-8")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            with archive.open("arr_0.npy", "w", force_zip64=True) as file:
                for i, pixels in enumerate(self._in_order(images)):
                    if i == 0:
                        header = {"descr": "|u1", "fortran_order": False, "shape": (images, *pixels.shape[1:])}
                        np.lib.format.write_array_header_1_0(file, header)
                    file.write(pixels.tobytes())
            if labels:
                table = np.stack([np.asarray(values, np.int64) for values in labels.values()], 1)
                _add(archive, "labels", table[:, 0] if len(labels) == 1 else table)
                _add(archive, "label_names", np.array(list(labels)))
            _add(archive, "record", np.array(text))

    def _in_order(self, images: int) -> Iterator[np.ndarray]:
        """(n,[T,]H,W,C) pieces of all images; parts may overlap, when the size of a batch was changed on the way."""
        at = 0
        for part in self._parts():
            if part.start <= at < part.stop:
                stop = min(part.stop, images)
                yield np.load(part.path, mmap_mode="r")[at - part.start : stop - part.start]
                at = stop
        if at < images:
            raise FileNotFoundError(f"image {at} in {self.parts}")


def _add(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _text(path: Path) -> str:
    """The record inside a finished file."""
    try:
        with np.load(path, allow_pickle=False) as held:
            return str(held["record"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise made_otherwise("no record inside", path) from None


def _shape(file: Any) -> tuple[int, ...]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ZooError("not a file of samples")
    return np.lib.format.read_array_header_1_0(file)[0]
