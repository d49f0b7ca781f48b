"""CIFAR-10, from its home page or from files that are already there."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from zoo.data.parquet_rows import ParquetRows
from zoo.data.pictures import Pictures, chosen
from zoo.data.places import data_folder, fetch
from zoo.data.protocols import Split
from zoo.errors import DataError
from zoo.registry import register

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "val": ["test_batch.bin"]}
RECORD = 1 + 3 * 32 * 32
FILE_LIMIT = 10_000 * RECORD
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@register("dataset", "cifar10")
class Cifar10(Pictures):
    """CIFAR-10: 50,000 images of ten classes and 10,000 held out, 32 x 32; fetched once if no path is given.

    RGB uint8; other sizes by resampling. The test set is the held-out split.

    Raises: DataError if the files are neither there nor to be had; it says which to put where.
    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """

    def __init__(
        self,
        size: tuple[int, int],
        split: Split,
        *,
        path: str | None = None,  # cifar-10-binary.tar.gz, or a folder of its .bin files or of parquet files
        labels: list[str] = ["label"],  # what the model is told; [] for nothing
        fit: Literal["crop", "resize", "pad"] = "crop",  # for sizes other than 32 x 32
    ):
        classes = chosen(labels, {"label": CLASSES}, "data.labels")
        place = Path(path).expanduser() if path else _fetched()
        if _is_parquet(place):
            rows = ParquetRows(place, split, None, None)
            names, read, numbers = rows.names, rows.read, rows.numbers
        else:
            records = np.concatenate([_records(data, name) for name, data in _files(place, FILES[split])])
            pixels = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
            names, read, numbers = [f"{split}:{i}" for i in range(len(records))], pixels.__getitem__, records[:, 0]
        super().__init__(names, read, {name: numbers for name in classes}, classes, size=size, fit=fit)

    @staticmethod
    def known_classes(fields: Mapping[str, object]) -> dict[str, list[str]]:
        """The classes under these fields, without opening a file."""
        return chosen(fields.get("labels", ["label"]), {"label": CLASSES}, "data.labels")  # type: ignore[arg-type]


def _is_parquet(place: Path) -> bool:
    return place.suffix == ".parquet" or (not any(place.rglob("*.bin")) and any(place.rglob("*.parquet")))


def _fetched() -> Path:
    """The folder of the .bin files, fetched and unpacked on first use."""
    folder = data_folder() / "cifar10"
    wanted = [name for names in FILES.values() for name in names]
    if all((folder / name).is_file() for name in wanted):
        return folder
    target = folder / URL.rpartition("/")[2]
    otherwise = f"put that file at {target}, or set data.path= to it or to a folder of its .bin or of parquet files"
    fetch(URL, target, MD5, otherwise)
    for name, data in _files(target, wanted):
        aside = folder / f"{name}.part-{os.getpid()}"
        aside.write_bytes(data)
        os.replace(aside, folder / name)
    target.unlink()
    return folder


def _files(place: Path, wanted: list[str]) -> list[tuple[str, bytes]]:
    """(name, bytes) of the .bin files in a folder or in the published archive; nothing is written."""
    if place.is_dir():
        nested = place / "cifar-10-batches-bin"
        folder = nested if nested.is_dir() else place
        found = {name: _small(folder / name) for name in wanted if (folder / name).is_file()}
    elif place.is_file():
        found = _members(place, wanted)
    else:
        raise DataError("there is no such file or folder", where=str(place), fix="set data.path")
    if missing := [name for name in wanted if name not in found]:
        raise DataError(f"{', '.join(missing)} is missing", where=str(place), fix=f"the archive is {URL}")
    return [(name, found[name]) for name in wanted]


def _members(archive: Path, wanted: list[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if name in wanted and member.isreg() and member.size <= FILE_LIMIT:
                    if name in found:
                        raise DataError(f"{name} is there twice", where=str(archive))
                    found[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"not a readable tar archive: {error}", where=str(archive)) from error
    return found


def _small(path: Path) -> bytes:
    if path.stat().st_size > FILE_LIMIT:
        raise DataError(f"larger than {FILE_LIMIT:,} bytes", where=str(path))
    return path.read_bytes()


def _records(data: bytes, name: str) -> np.ndarray:
    """(n, 1 + 3072) uint8: a class number and an image each, by channel."""
    if not data or len(data) % RECORD:
        raise DataError(f"{len(data):,} bytes are not whole records of {RECORD}", where=name)
    records = np.frombuffer(data, dtype=np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"class {records[:, 0].max()}", where=name, allowed="0..9")
    return records
