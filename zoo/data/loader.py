"""Batches of any data set, from any image on; what they hold does not depend on how they are read.

Legend: B batch, C channels, H height, W width; of clips, T frames stand after B.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator
from contextlib import suppress
from itertools import count as count_from
from queue import Empty, Queue
from threading import Event, Thread, current_thread
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from zoo.data.memory import LIMIT, memory_of, read, spread
from zoo.data.order import locate
from zoo.data.protocols import Dataset, Sample
from zoo.data.transform import flips, mirrored, to_float
from zoo.errors import DataError

Device = torch.device | str | None
Pixels = tuple[np.ndarray, dict[str, np.ndarray]]
PREFETCH = 4
PATIENCE = 30.0  # seconds for a thread's last batch; one that hangs must not hold up the end of a run


class Batch(NamedTuple):
    """images (B,[T,]C,H,W) float32 in [-1, 1] or latents, labels (B,) int64 by name, number of the first image."""

    images: Tensor
    labels: dict[str, Tensor]
    first: int

    def rows(self, rows: slice) -> Batch:
        """Some of its images, which follow each other."""
        labels = {name: values[rows] for name, values in self.labels.items()}
        return Batch(self.images[rows], labels, self.first + (rows.start or 0))


def batches(dataset: Dataset, *, seed: int, batch: int, start: int = 0, workers: int = 0, flip: bool = False,
            device: Device = None, share: tuple[int, int] = (0, 1), keep: int = LIMIT,
            context: str | None = None) -> Iterator[Batch]:  # fmt: skip
    """Training batches without end, from image number `start` on.

    Args:
        batch: images an update, over all processes.
        start: images seen before; batches then equal those of a run that never stopped.
        workers: processes that read images, or threads where the images are kept; 0 reads in line.
        flip: mirror every second image, by chance.
        share: (rank, ranks); this process gets its part of every batch.
        keep: bytes of decoded images to keep in memory; a larger data set is read again every epoch.
        context: how workers are started, for instance "spawn"; None is Python's own choice.

    Raises: DataError if the data set is empty, unreadable, or a worker dies.
    """
    if not len(dataset):
        raise DataError("there are no images to train on", fix="look at the data set's path and filters")
    if batch < share[1]:
        raise DataError(f"a batch of {batch} cannot be shared by {share[1]} processes", fix="enlarge train.batch")
    chosen = (positions(first, batch, share) for first in count_from(start, batch))
    memory = memory_of(dataset, len(dataset), keep)
    wanted = Indices(dataset, seed, start, batch, share, flip)
    if memory is None and workers:
        source = _from_workers(dataset, wanted, workers, _is_cuda(device), context)
    else:
        source = _in_line(dataset, memory, wanted, workers)
        source = ahead(source) if _is_cuda(device) else source
    for where, (pixels, labels) in zip(chosen, source):
        images = to_float(_to(pixels, device))
        if flip and not wanted.copies:
            images = mirrored(images, _to(flips(seed, where), device))
        yield Batch(images, _on(labels, device), int(where[0]))


def val_batches(dataset: Dataset, *, batch: int, count: int | None = None, device: Device = None,
                workers: int = 4, keep: int = LIMIT) -> Iterator[Batch]:  # fmt: skip
    """One pass in a fixed order, unflipped, with the last batch as short as it comes.

    Args:
        count: at most so many images, spread evenly over the data set; None takes all.
    """
    rows = len(dataset) if count is None else min(count, len(dataset))
    memory = memory_of(dataset, rows, keep) if rows else None
    for first in range(0, rows, batch):
        where = np.arange(first, min(first + batch, rows))
        if memory:
            pixels, labels = memory.take(dataset, where, workers)
        else:
            pixels, labels = stacked(read(dataset, spread(rows, len(dataset))[where], workers))
        yield Batch(to_float(_to(pixels, device)), _on(labels, device), first)


def positions(first: int, batch: int, share: tuple[int, int]) -> np.ndarray:
    """The image numbers of one process's part of the batch that begins at `first`."""
    rank, ranks = share
    return np.arange(first + batch * rank // ranks, first + batch * (rank + 1) // ranks, dtype=np.int64)


def stacked(samples: list[Sample]) -> Pixels:
    """Pixels (B,[T,]H,W,C) and labels (B,) of several samples."""
    labels = {name: np.array([s.labels[name] for s in samples], dtype=np.int64) for name in samples[0].labels}
    return np.stack([s.image for s in samples]), labels


class Indices:
    """The indices of each batch, without end: what the workers are told to read; of mirrored copies if there are."""

    def __init__(self, dataset: Dataset, seed: int, start: int, batch: int, share: tuple[int, int], flip: bool):
        self.n, self.seed, self.start, self.batch, self.share = len(dataset), seed, start, batch, share
        self.copies = getattr(dataset, "mirrored", None) if flip else None

    def __iter__(self) -> Iterator[np.ndarray]:
        for first in count_from(self.start, self.batch):
            where = positions(first, self.batch, self.share)
            indices = locate(where, self.n, self.seed)[1]
            yield self.copies(indices, flips(self.seed, where)) if self.copies else indices


class Reader:
    """A data set whose items are whole batches; a DataError travels home as a value, with its text as it is."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, indices: np.ndarray) -> tuple[Tensor, dict[str, Tensor]] | str:
        try:
            pixels, labels = stacked(read(self.dataset, indices, 1))
        except DataError as error:
            return str(error)
        return torch.from_numpy(pixels), {name: torch.from_numpy(value) for name, value in labels.items()}


def ahead(items: Iterator, depth: int = PREFETCH) -> Iterator:
    """The same items, made by a thread while the last ones are used; its error is raised where it belongs."""
    ready: Queue = Queue(depth)
    ended = Event()

    def work() -> None:
        try:
            for item in items:
                ready.put((item, None))
                if ended.is_set():
                    return
            ready.put((None, StopIteration()))
        except BaseException as error:
            ready.put((None, error))

    def end() -> None:
        ended.set()
        if thread is current_thread():  # where the garbage collector happened to find the reader
            return
        with suppress(Empty):
            while True:
                ready.get_nowait()  # room, so that the thread comes to look
        thread.join(PATIENCE)

    thread = Thread(target=work, daemon=True, name="zoo-data")
    thread.start()
    atexit.register(end)  # Python kills a thread that is left at its exit, and inside PyTorch that aborts the process
    try:
        while True:
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item
    finally:
        end()
        atexit.unregister(end)


def _in_line(dataset, memory, wanted, threads) -> Iterator[Pixels]:
    for indices in wanted:
        yield memory.take(dataset, indices, threads) if memory else stacked(read(dataset, indices, 1))


def _from_workers(dataset, wanted, workers, pin, context) -> Iterator:
    loader = DataLoader(
        Reader(dataset), sampler=wanted, batch_size=None,  # type: ignore[arg-type]
        num_workers=workers, persistent_workers=True, prefetch_factor=PREFETCH, pin_memory=pin,
        multiprocessing_context=context,
    )  # fmt: skip
    arriving = _started(loader)
    while True:
        try:
            item = next(arriving)
        except RuntimeError as error:
            raise DataError(f"a process that reads images died: {error}", where="data",
                            fix="set train.workers=0 to see why, or give it more memory") from error
        if isinstance(item, str):
            raise DataError(item)
        yield item


def _started(loader: DataLoader) -> Iterator:
    """Its iterator, without torch's handler of SIGCHLD: that raises wherever the main thread is when a worker dies, in
    an update or while it holds a lock of that worker's queue. `next` notices a death by itself, within 5 seconds."""
    handling = torch.utils.data._utils.signal_handling
    before, handling._SIGCHLD_handler_set = handling._SIGCHLD_handler_set, True
    try:
        return iter(loader)
    finally:
        handling._SIGCHLD_handler_set = before


def _to(values: np.ndarray | Tensor, device: Device) -> Tensor:
    """On the device; from pinned memory on the way to a GPU, so that nobody waits for the copy."""
    tensor = torch.as_tensor(values)
    if _is_cuda(device) and not tensor.is_pinned():
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _on(labels: dict, device: Device) -> dict[str, Tensor]:
    return {name: _to(value, device) for name, value in labels.items()}


def _is_cuda(device: Device) -> bool:
    return device is not None and torch.device(device).type == "cuda"
