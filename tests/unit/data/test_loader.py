"""Batches do not depend on how they are read: workers, memory, restarts and processes all give the same."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from itertools import islice

import numpy as np
import pytest
import torch
from made_images import Numbered

from zoo.data.loader import ahead, batches, val_batches
from zoo.data.order import locate
from zoo.data.protocols import Sample
from zoo.errors import DataError

N, SEED = 23, 9


def run(count: int, start: int = 0, n: int = N, batch: int = 5, flip: bool = True, **options):
    return list(islice(batches(Numbered(n), seed=SEED, batch=batch, start=start, flip=flip, **options), count))


def same(a, b) -> bool:
    return len(a) == len(b) and all(
        x.first == y.first and torch.equal(x.images, y.images) and torch.equal(x.labels["label"], y.labels["label"])
        for x, y in zip(a, b)
    )


READERS = {"kept": {}, "kept, threads": {"workers": 3}, "in line": {"keep": 0}, "workers": {"keep": 0, "workers": 2}}


@pytest.mark.parametrize("options", READERS.values(), ids=READERS)
def test_a_run_that_goes_on_equals_one_that_never_stopped(options):
    whole = run(12)
    assert same(run(12, **options), whole)
    for k in (1, 4, 5, 9):
        assert same(run(12 - k, start=5 * k, **options), whole[k:])


def test_spawned_workers_give_the_same():
    assert same(run(3, keep=0, workers=1, context="spawn"), run(3))


def test_a_start_that_is_no_multiple_of_the_batch_continues_the_same_stream():
    whole = torch.cat([b.images for b in run(6)])
    assert torch.equal(torch.cat([b.images for b in run(4, start=7)]), whole[7:27])


def test_the_batch_size_changes_no_image():
    assert torch.equal(torch.cat([b.images for b in run(6, batch=4)]), torch.cat([b.images for b in run(4, batch=6)]))


def test_processes_share_a_batch_without_gap_or_overlap():
    whole = run(4)
    parts = [run(4, share=(rank, 3)) for rank in range(3)]
    for i, b in enumerate(whole):
        assert torch.equal(torch.cat([p[i].images for p in parts]), b.images)
        assert parts[0][i].first == b.first
    with pytest.raises(DataError, match=r"train\.batch"):
        run(1, batch=2, share=(0, 3))


def test_images_labels_and_order_are_those_of_the_data_set():
    for b in run(6, flip=False):
        indices = locate(np.arange(b.first, b.first + 5), N, SEED)[1]
        assert b.images.shape == (5, 3, 4, 6) and b.images.dtype == torch.float32
        torch.testing.assert_close(b.images[:, 0, 1, 1], torch.tensor(indices).float() / 127.5 - 1)
        assert b.labels["label"].tolist() == [i % 7 for i in indices] and b.labels["label"].dtype == torch.int64


def test_a_flip_mirrors_about_half_and_changes_nothing_else():
    plain, flipped = run(40, flip=False, n=300), run(40, n=300)
    marks = torch.cat([p.images[..., 0].ne(f.images[..., 0]).flatten(1).any(1) for p, f in zip(plain, flipped)])
    assert all(torch.equal(p.images.sort(-1)[0], f.images.sort(-1)[0]) for p, f in zip(plain, flipped))
    assert 0.35 < marks.float().mean() < 0.65


def test_black_and_white_are_minus_one_and_one():
    images = torch.cat([b.images for b in run(60, n=256)])
    assert images.min() == -1 and images.max() == 1


def test_kept_images_are_read_once():
    data = Numbered(N)
    list(islice(batches(data, seed=0, batch=8), 20))
    assert data.reads <= N + 1
    list(islice(batches(data, seed=1, batch=8), 20))
    assert data.reads <= N + 1


@pytest.mark.parametrize("keep", [0, 1 << 20])
@pytest.mark.parametrize("count", [None, 1, 9, 10, 99])
def test_validation_covers_each_image_once_and_the_last_batch_is_short(keep, count):
    data, rows = Numbered(N), min(count or N, N)
    found = list(val_batches(data, batch=4, count=count, keep=keep))
    values = torch.cat([b.images[:, 0, 1, 1] for b in found])
    assert [b.first for b in found] == list(range(0, rows, 4)) and len(values) == rows
    assert len(values.unique()) == rows and (rows < N or torch.equal(values, values.sort()[0]))
    again = list(val_batches(data, batch=4, count=count, keep=keep))
    assert same(found, again)


def test_a_part_of_the_validation_images_shows_all_classes_of_sorted_data():
    class Sorted(Numbered):
        def __getitem__(self, index):
            return super().__getitem__(index)._replace(labels={"label": index // 10})

    assert torch.cat([b.labels["label"] for b in val_batches(Sorted(70), batch=5, count=7)]).tolist() == list(range(7))


def test_no_images_are_an_error_in_training_and_nothing_in_validation():
    with pytest.raises(DataError, match="no images"):
        run(1, n=0)
    assert list(val_batches(Numbered(0), batch=4)) == []


def test_video_goes_channels_behind_frames():
    class Video(Numbered):
        def __getitem__(self, index):
            return Sample(np.zeros((2, 4, 6, 3), np.uint8), {}, "")

    assert next(batches(Video(9), seed=0, batch=5, flip=True)).images.shape == (5, 2, 3, 4, 6)


class Dying(Numbered):
    def __getitem__(self, index):
        if torch.utils.data.get_worker_info():
            os._exit(3)
        return super().__getitem__(index)


class DyingLater(Numbered):
    def __getitem__(self, index):
        if torch.utils.data.get_worker_info() and self.reads >= 4:
            time.sleep(1)  # what it has read before is under way
            os._exit(3)
        return super().__getitem__(index)


class Refusing(Numbered):
    def __getitem__(self, index):
        if torch.utils.data.get_worker_info():
            raise DataError("not a readable image", where="a/b.png")
        return super().__getitem__(index)


def test_a_dead_worker_is_a_clear_error():
    with pytest.raises(DataError, match=r"train\.workers=0"):
        next(batches(Dying(N), seed=0, batch=4, workers=1, keep=0))


def test_a_worker_that_dies_during_an_update_does_not_disturb_it():
    """Nothing is raised but by the batch that is missing: torch's own handler would, anywhere in the main thread."""
    reading = batches(DyingLater(64), seed=0, batch=2, workers=1, keep=0)
    assert len(next(reading).images) == 2
    ended = time.monotonic() + 3
    while time.monotonic() < ended:  # an update
        sum(range(1000))
    with pytest.raises(DataError, match=r"train\.workers=0"):
        list(reading)


def test_an_error_in_a_worker_arrives_as_it_was():
    with pytest.raises(DataError) as caught:
        next(batches(Refusing(N), seed=0, batch=4, workers=1, keep=0))
    assert str(caught.value) == "a/b.png: not a readable image"


def test_items_made_ahead_are_the_same_and_an_error_comes_in_its_turn():
    def items():
        yield from range(20)
        raise DataError("image 20 is bad")

    seen = []
    with pytest.raises(DataError, match="image 20"):
        for item in ahead(items(), 3):
            seen.append(item)
    assert seen == list(range(20))
    assert list(ahead(iter(range(5)))) == list(range(5))


def test_a_thread_that_reads_ahead_ends_with_its_reader():
    reading = ahead(iter(range(10**9)), 2)
    assert next(reading) == 0
    reading.close()
    assert not any(thread.name == "zoo-data" for thread in threading.enumerate())


ABANDONED = """
import torch
from zoo.data.loader import ahead
reading = ahead(torch.zeros(200_000).to(torch.float64)[:1] for _ in range(10**9))
next(reading)
"""


def test_python_may_end_while_a_thread_is_inside_pytorch():
    """Killed there, it took the process with it: "terminate called without an active exception", exit code -6."""
    done = subprocess.run([sys.executable, "-c", ABANDONED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
