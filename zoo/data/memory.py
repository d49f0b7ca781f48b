"""Small data sets are decoded once and kept: a batch is then an index into one array."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

import numpy as np

from zoo.data.protocols import Dataset, Sample

LIMIT = 1 << 30
"""Bytes of decoded images that are worth keeping."""
_kept: WeakKeyDictionary[Dataset, dict[int, Memory]] = WeakKeyDictionary()


class Memory:
    """`rows` images, spread evenly over a data set, each decoded when it is first asked for."""

    def __init__(self, dataset: Dataset, rows: int, like: Sample):
        self.images = np.empty((rows, *like.image.shape), dtype=np.uint8)
        self.labels = {name: np.zeros(rows, dtype=np.int64) for name in like.labels}
        self.present = np.zeros(rows, dtype=bool)
        self.source = spread(rows, len(dataset))

    def take(self, dataset: Dataset, rows: np.ndarray, threads: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Pixels (B,[T,]H,W,C) and labels of some rows."""
        missing = np.unique(rows[~self.present[rows]])
        for row, sample in zip(missing, read(dataset, self.source[missing], threads)):
            self.images[row] = sample.image
            for name, value in sample.labels.items():
                self.labels[name][row] = value
            self.present[row] = True
        return self.images[rows], {name: values[rows] for name, values in self.labels.items()}


def memory_of(dataset: Dataset, rows: int, limit: int = LIMIT) -> Memory | None:
    """The memory of a data set, the same one at every call; None if there is none and its images would not fit."""
    kept = _kept.setdefault(dataset, {})
    if rows not in kept:
        first = dataset[0]
        if rows * first.image.nbytes > limit or hasattr(dataset, "latent"):  # latents need no decoding
            return None
        kept[rows] = Memory(dataset, rows, first)
    return kept[rows]


def spread(count: int, n: int) -> np.ndarray:
    """`count` of n indices at even distances, so that data sorted by class still show all classes."""
    return np.arange(count, dtype=np.int64) * n // max(count, 1)


def read(dataset: Dataset, indices: np.ndarray, threads: int) -> list[Sample]:
    """Samples in the order of `indices`."""
    wanted = [int(i) for i in indices]
    if threads < 2 or len(wanted) < 2:
        return [dataset[i] for i in wanted]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(dataset.__getitem__, wanted))
