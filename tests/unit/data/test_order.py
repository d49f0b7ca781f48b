"""The order of images is a function of (seed, position): permutations that look random and cost nothing to enter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.order import chance, locate, rng
from zoo.data.transform import flips

sizes, seeds = st.integers(1, 300), st.integers(-(2**70), 2**70)


@settings(max_examples=80, deadline=None)
@given(sizes, seeds, st.integers(0, 10**6))
def test_every_epoch_is_a_permutation(n, seed, epoch):
    epochs, indices = locate(np.arange(epoch * n, (epoch + 1) * n), n, seed)
    assert (epochs == epoch).all() and sorted(indices) == list(range(n))


@settings(max_examples=60, deadline=None)
@given(sizes, seeds, st.lists(st.integers(0, 10**12), min_size=1, max_size=40))
def test_a_position_has_the_same_image_whoever_else_is_asked_for(n, seed, positions):
    epochs, indices = locate(np.array(positions), n, seed)
    for k, epoch, index in zip(positions, epochs, indices):
        assert (epoch, index) == tuple(int(x[0]) for x in locate(np.array([k]), n, seed))
        assert epoch == k // n


@pytest.mark.parametrize("n", [2, 3, 5, 7, 16])
def test_the_first_image_is_any_image_equally_often(n):
    epochs = 20_000
    _, first = locate(np.arange(epochs) * n, n, 11)
    counts, expected = np.bincount(first, minlength=n), epochs / n
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < n - 1 + 5 * np.sqrt(2 * (n - 1))


def test_all_orders_of_three_images_are_equally_frequent():
    _, indices = locate(np.arange(3 * 12_000), 3, 5)
    codes = indices.reshape(-1, 3) @ [9, 3, 1]
    counts = np.unique(codes, return_counts=True)[1]
    assert len(counts) == 6 and ((counts - 2000) ** 2 / 2000).sum() < 5 + 5 * np.sqrt(10)


def test_epochs_seeds_and_neighbours_are_not_correlated():
    n = 5000
    one, two, three = locate(np.arange(3 * n), n, 0)[1].reshape(3, n)
    other = locate(np.arange(n), n, 1)[1]
    for a, b in ((one, two), (two, three), (one, other), (one, np.arange(n)), (one[1:], one[:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(n)
        assert (a == b).mean() < 10 / n
    assert (np.abs(np.diff(one)) == 1).mean() < 10 / n


def test_entering_at_image_a_thousand_million_takes_no_time(seconds):
    assert seconds(lambda: locate(np.arange(10**9, 10**9 + 256), 1_281_167, 0)) < 0.05


def test_chance_is_uniform_and_streams_are_independent():
    positions = np.arange(40_000)
    a, b = chance(3, "flip", positions), chance(3, "label", positions)
    counts = np.histogram(a, 50, (0, 1))[0]
    assert ((counts - 800) ** 2 / 800).sum() < 49 + 5 * np.sqrt(98)
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03 and abs(np.corrcoef(a[1:], a[:-1])[0, 1]) < 0.03
    assert abs(flips(3, positions).mean() - 0.5) < 0.02


def test_generators_repeat_and_differ_by_seed_stream_and_position():
    draws = {key: rng(*key).standard_normal(4).tobytes() for key in
             [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a", 2**63)]}
    assert len(set(draws.values())) == 5
    assert all(rng(*key).standard_normal(4).tobytes() == value for key, value in draws.items())


def test_the_order_never_changes_between_versions():
    assert locate(np.array([0, 1, 2, 999, 10**9]), 1000, 1234)[1].tolist() == GOLDEN
    assert rng(1234, "time", 5).integers(0, 1000, 4).tolist() == GOLDEN_DRAWS


GOLDEN = [301, 213, 642, 532, 162]
GOLDEN_DRAWS = [57, 27, 781, 134]
