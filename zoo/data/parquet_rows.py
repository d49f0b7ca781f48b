"""Rows of parquet files in the layout of Hugging Face data sets: an image column and perhaps a label column."""

from __future__ import annotations

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from zoo.data.places import data_folder
from zoo.data.protocols import Split
from zoo.data.splits import select, split_word
from zoo.errors import DataError

IMAGES = ("image", "img", "jpg", "png", "webp", "picture")
LABELS = ("label", "fine_label", "labels", "class", "target", "cls")
IN_MEMORY = 2 << 30


class ParquetRows:
    """Names, labels and bytes of one split; opened again in every process.

    Args:
        path: a file, or a folder with any number of them, named after their split (`train-*`, `test-*`).
        image, label: columns; None finds them. A label column may hold numbers or words.
        holdout: share held out where no file is named val or test.
        labelled: whether anybody wants the classes.

    Raises: DataError if there is nothing to read or a column is missing.
    """

    def __init__(self, path: Path, split: Split, image: str | None, label: str | None,
                 holdout: float = 0.05, *, labelled: bool = True):  # fmt: skip
        require_pyarrow()
        self.files = parquet_files(path)
        schema = _schema(self.files[0])
        self.image = _column(schema, image, IMAGES, "image", self.files[0])
        wanted = labelled and (label or _first(schema, LABELS))
        self.label = _column(schema, label, LABELS, "label", self.files[0]) if wanted else None
        counts = [_rows(file) for file in self.files]
        names = [f"{file}:{row}" for file, count in zip(self.files, counts) for row in range(count)]
        short = [f"{file.stem}:{row}" for file, count in zip(self.files, counts) for row in range(count)]
        words = [word for file, count in zip(self.files, counts) for word in [_word(file, path)] * count]
        self.rows = select(words, short, split, holdout)
        self.names = [names[i] for i in self.rows]
        self.classes, self.numbers = self._labels(schema)

    def read(self, index: int) -> bytes:
        """The bytes of one image file."""
        value = self.table.column(0)[self.rows[index]].as_py()
        data = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(data, bytes):
            raise DataError("there are no bytes in this row", fix="images stored as paths only cannot be read")
        return data

    @cached_property
    def table(self) -> Any:
        """The image column: in memory if it is small, else an uncompressed copy on disk, mapped."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if sum(file.stat().st_size for file in self.files) <= IN_MEMORY:
            return pa.concat_tables([pq.read_table(file, columns=[self.image]) for file in self.files])
        return pa.ipc.open_file(pa.memory_map(str(mapped(self.files, self.image)))).read_all()

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k != "table"}

    def _labels(self, schema) -> tuple[list[str], np.ndarray]:
        """Names of the classes, over all splits, and the class number of each row of this one."""
        if self.label is None:
            return [], np.zeros(0, dtype=np.int64)
        import pyarrow.parquet as pq

        values = [v for file in self.files for v in pq.read_table(file, columns=[self.label]).column(0).to_pylist()]
        mine = [values[i] for i in self.rows]
        if values and all(isinstance(v, str) for v in values):
            names = sorted(set(values))
            number = {name: i for i, name in enumerate(names)}
            return names, np.array([number[v] for v in mine], dtype=np.int64)
        if any(type(v) is not int or v < 0 for v in mine):
            raise DataError(f"column {self.label!r} does not hold a class in every row", where=str(self.files[0]),
                            allowed="numbers from 0, or words", fix="set data.label, or data.labels=[]")
        top = max((v for v in values if type(v) is int), default=-1)
        names = _feature_names(schema, self.label)
        return names if len(names) > top else [str(i) for i in range(top + 1)], np.array(mine, dtype=np.int64)


def parquet_files(path: Path) -> list[Path]:
    """The parquet files at a path, sorted."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if p.is_file())
    if not files:
        raise DataError("no parquet files here", where=str(path), fix="set data.path to one, or to a folder of them")
    return files


def mapped(files: list[Path], column: str) -> Path:
    """One Arrow file with a column of all files, made once and kept; random access needs it uncompressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stamp = "\n".join([column, *(f"{f.resolve()} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files)])
    target = data_folder() / "parquet" / f"{hashlib.sha256(stamp.encode()).hexdigest()[:24]}.arrow"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_suffix(f".part-{os.getpid()}")
    try:
        schema = pa.schema([pq.read_schema(files[0]).field(column)])
        with pa.ipc.new_file(str(aside), schema) as out:
            for file in files:
                for part in pq.ParquetFile(file).iter_batches(1024, columns=[column]):
                    out.write_batch(part)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return target


def require_pyarrow() -> None:
    """Raises: DataError with the command that installs it."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise DataError("reading parquet files needs pyarrow", fix="pip install 'backbone-zoo[data]'") from error


def _schema(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"not a readable parquet file: {error}", where=str(file)) from error


def _rows(file: Path) -> int:
    import pyarrow.parquet as pq

    _schema(file)
    return pq.read_metadata(file).num_rows


def _word(file: Path, root: Path) -> str | None:
    """The split that a file's name says, or else the nearest folder's under the root."""
    folders = [] if file == root else [part.name for part in file.parents if root in part.parents]
    return next((word for name in [file.stem, *folders] if (word := split_word(name))), None)


def _first(schema, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in schema.names), None)


def _column(schema, wanted: str | None, usual: tuple[str, ...], field: str, file: Path) -> str:
    found = wanted if wanted in schema.names else None if wanted else _first(schema, usual)
    if found is None:
        raise DataError(f"there is no column {wanted!r}" if wanted else f"no column looks like the {field}",
                        where=str(file), allowed=schema.names, given=wanted, fix=f"set data.{field}")  # fmt: skip
    return found


def _feature_names(schema, label: str) -> list[str]:
    """Names of the classes that `datasets` wrote beside the columns."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return [str(name) for name in features[label]["names"]]
    except (KeyError, TypeError, ValueError):
        return []
