"""Spread: against closed forms and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.ablate.spread import figures, from_draws, from_images, interval


def test_the_bootstrap_over_images_has_the_standard_error_of_a_mean():
    losses = np.random.default_rng(1).normal(1.0, 0.3, (2, 1, 400))
    for row, figure in zip(losses, from_images(losses)):
        assert figure.mean == pytest.approx(row.mean())
        assert figure.spread == pytest.approx(1.96 * row.std() / 20, rel=0.1)


def test_pairing_takes_out_what_all_rows_share():
    rng = np.random.default_rng(2)
    hard = rng.normal(1.0, 0.5, 300)  # how hard each image is, for every row
    losses = np.stack([hard, hard + 0.01 + 0.005 * rng.normal(size=300)])[:, None]
    figure = from_images(losses)[1]
    assert figure.spread > 0.05 > 0.002 > figure.doubt
    assert figure.difference == pytest.approx(0.01, abs=0.001) and figure.within_noise is False


def test_spread_between_seeds_is_students_interval_pooled_over_rows():
    scores = np.array([[1.0, 1.2, 1.4], [2.0, 2.0, 2.6]])
    error = np.sqrt((scores[0].var(ddof=1) + scores[1].var(ddof=1)) / 2 / 3)
    assert [f.spread for f in figures(scores, None)] == pytest.approx([2.776 * error] * 2)  # 2 rows x (3 - 1) seeds
    difference = scores[1] - scores[0]
    assert figures(scores, None)[1].doubt == pytest.approx(4.303 * np.sqrt(difference.var(ddof=1) / 3))


def test_draws_count_like_independent_measurements():
    values = np.array([[[3.0, 3.2, 3.4]], [[4.0, 4.1, 4.5]]])
    first, second = from_draws(values)
    error = np.sqrt((values[0, 0].var(ddof=1) + values[1, 0].var(ddof=1)) / 2 / 3)
    assert first.spread == second.spread == pytest.approx(2.776 * error)
    assert second.doubt == pytest.approx(4.303 * (values[1, 0] - values[0, 0]).std(ddof=1) / np.sqrt(3))


def test_two_estimates_of_variance_have_the_freedom_of_welch():
    assert interval([(1.0, 4), (0.0, 1)]) == pytest.approx(2.776)
    assert interval([(0.5, 5), (0.5, 5)]) == pytest.approx(2.228)  # equal parts: the freedoms add up
    assert interval([(0.0, 3)]) == 0.0


@pytest.mark.parametrize("draws", [2, 3])
@pytest.mark.parametrize("rows", [2, 5])
def test_few_draws_do_not_make_noise_look_real(draws, rows):
    rng = np.random.default_rng(4)
    found = [from_draws(rng.normal(0, 1, (rows, 1, draws)))[1].within_noise for _ in range(1000)]
    assert found.count(False) / 1000 == pytest.approx(0.05, abs=0.025)


def test_one_draw_of_one_seed_has_no_spread_and_nothing_is_called_noise():
    figure = from_draws(np.array([[[3.0]], [[3.1]]]))[1]
    assert figure.spread is None and figure.doubt is None and figure.within_noise is None


def test_equal_rows_are_seldom_called_different_and_different_ones_often():
    rng, wrong, found = np.random.default_rng(3), 0, 0
    for _ in range(200):
        rows = rng.normal(0, 1, (5, 3))
        wrong += sum(f.within_noise is False for f in figures(rows, None)[1:])
        rows[1:] += 5
        found += sum(f.within_noise is False for f in figures(rows, None)[1:])
    assert wrong / 800 < 0.1 and found / 800 > 0.95
