"""One pass over images: shared, stored, resumed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from zoo.errors import ZooError
from zoo.eval import collect as module
from zoo.eval.collect import Watch, chunks, collect, statistics
from zoo.eval.figures import open_metrics
from zoo.eval.lens import Lens
from zoo.eval.tally import Needs, Tally

NEEDS = Needs(frozenset({"features", "spatial"}), frozenset({"features", "logits"}))
TOTAL, BATCH = 53, 4


class Drawn:
    """Numbered images that say which were asked for."""

    size = (6, 6)
    frames = 0

    def __init__(self, total: int = TOTAL, seed: int = 0):
        self.total, self.seed, self.asked = total, seed, []
        self.identity, self.said = {"drawn": seed}, {"kind": "generated"}
        self.dies_at: int | None = None

    def __len__(self) -> int:
        return self.total

    def read(self, numbers, on_step=None):
        if self.dies_at is not None and self.dies_at in numbers:
            raise KeyboardInterrupt
        self.asked += list(numbers)
        return np.stack([np.random.default_rng([self.seed, i]).integers(0, 256, (6, 6, 3), np.uint8) for i in numbers])


@pytest.fixture
def lens(waves) -> Lens:
    return Lens(waves, torch.device("cpu"))


@pytest.fixture
def figures(lens):
    return open_metrics(["fd", "sfd", {"use": "kd", "subset": 20, "subsets": 3}, "is", "pr", "dc"], lens)


@pytest.mark.parametrize("of", [1, 2, 5, 20])
def test_shares_cover_every_image_once(of):
    starts = [start for i in range(of) for start in chunks(TOTAL, BATCH, (i, of))]
    assert starts == list(range(0, TOTAL, BATCH))


@pytest.mark.parametrize("of", [1, 2, 5])
def test_any_number_of_shares_gives_the_same_figures(of, lens, figures, tmp_path):
    reference = collect(Drawn(60, seed=1), lens, NEEDS, batch=7)
    expected = figures.compute(collect(Drawn(), lens, NEEDS, batch=BATCH), reference)
    order = np.random.default_rng(of).permutation(of)
    found = [statistics(Drawn(), lens, NEEDS, batch=BATCH, share=(int(i), of), cache=tmp_path) for i in order]
    assert [tally is None for tally in found] == [True] * (of - 1) + [False]
    shared = figures.compute(found[-1], reference)
    assert len(expected) == 10
    assert shared == pytest.approx(expected, rel=1e-9)
    assert found[-1].pixels == collect(Drawn(), lens, NEEDS, batch=13).pixels


def test_a_second_request_draws_nothing(lens, tmp_path):
    first, again, said = Drawn(), Drawn(), []
    tally = statistics(first, lens, NEEDS, batch=BATCH, cache=tmp_path)
    found = statistics(again, lens, NEEDS, batch=BATCH, cache=tmp_path, watch=Watch(say=said.append))
    assert sorted(first.asked) == list(range(TOTAL)) and again.asked == []
    np.testing.assert_array_equal(found.rows("features"), tally.rows("features"))
    np.testing.assert_allclose(found.gaussian("spatial").cov, tally.gaussian("spatial").cov, rtol=1e-14)
    assert "found the statistics" in said[0]


@pytest.mark.parametrize("other", [{"seed": 1}, {"total": 52}])
def test_other_images_are_drawn_anew(other, lens, tmp_path):
    statistics(Drawn(), lens, NEEDS, batch=BATCH, cache=tmp_path)
    images = Drawn(**other)
    statistics(images, lens, NEEDS, batch=BATCH, cache=tmp_path)
    assert len(images.asked) == len(images)


def test_an_interrupted_pass_goes_on_where_it_was(lens, tmp_path):
    images = Drawn()
    images.dies_at = 30
    with pytest.raises(KeyboardInterrupt):
        statistics(images, lens, NEEDS, batch=BATCH, cache=tmp_path)
    assert images.asked == list(range(28))
    later = Drawn()
    found = statistics(later, lens, NEEDS, batch=BATCH, cache=tmp_path)
    assert later.asked == list(range(28, TOTAL))
    whole = collect(Drawn(), lens, NEEDS, batch=BATCH)
    assert found.pixels == whole.pixels
    np.testing.assert_allclose(found.gaussian("features").cov, whole.gaussian("features").cov, rtol=1e-12)


def test_statistics_are_saved_on_the_way(lens, tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(module, "SAVE_EVERY", -1)
    monkeypatch.setattr(Tally, "save", lambda self, path: saved.append(len(self)))
    collect(Drawn(10), lens, NEEDS, batch=BATCH, path=tmp_path / "part-000-of-001.npz")
    assert saved == [4, 8, 10, 10]


def test_more_needs_are_met_by_another_pass_and_kept_with_the_old(lens, tmp_path):
    few, many = Needs(frozenset({"features"})), Needs(frozenset({"spatial"}), frozenset({"logits"}))
    statistics(Drawn(), lens, few, batch=BATCH, cache=tmp_path)
    statistics(Drawn(), lens, many, batch=BATCH, cache=tmp_path)
    images = Drawn()
    assert statistics(images, lens, few | many, batch=BATCH, cache=tmp_path).needs.covers(few | many)
    assert images.asked == []


def test_a_damaged_file_is_made_anew(lens, tmp_path):
    statistics(Drawn(), lens, NEEDS, batch=BATCH, cache=tmp_path)
    (file,) = tmp_path.rglob("part-*.npz")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    images = Drawn()
    assert len(statistics(images, lens, NEEDS, batch=BATCH, cache=tmp_path)) == TOTAL
    assert len(images.asked) == TOTAL


def test_a_wish_to_stop_ends_the_pass_between_chunks(lens):
    images = Drawn()
    tally = collect(images, lens, NEEDS, batch=BATCH, watch=Watch(stopped=lambda: len(images.asked) >= 12))
    assert len(tally) == 12


@pytest.mark.parametrize(("share", "batch"), [((2, 2), 4), ((-1, 2), 4), ((0, 1), 0)])
def test_impossible_shares_and_batches_are_refused(share, batch, lens):
    with pytest.raises(ZooError, match=r"share|batch"):
        statistics(Drawn(), lens, NEEDS, batch=batch, share=share)


def test_pixels_are_told_apart(lens):
    one = collect(Drawn(), lens, NEEDS, batch=BATCH).pixels
    assert one != collect(Drawn(seed=1), lens, NEEDS, batch=BATCH).pixels
    grey = SimpleNamespace(read=lambda n, s=None: np.zeros((len(n), 6, 6, 1), np.uint8), __len__=lambda: 4)
    assert lens(grey.read(range(4)), ["spatial"])["spatial"].shape == (4, 9)
