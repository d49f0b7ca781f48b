"""Moments and the Frechet distance, against torch-fidelity, closed forms and extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.eval.moments import Gaussian, Moments, frechet


def features(seed: int, count: int, width: int) -> np.ndarray:
    """Correlated rows, as wide apart as features are."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(width, width)) * np.exp(-np.arange(width) / 8)
    return rng.normal(size=(count, width)) @ mixing + rng.normal(size=width)


@pytest.mark.parametrize(("count", "width"), [(400, 24), (3000, 64)])
def test_it_equals_torch_fidelity_on_the_same_features(count, width):
    import torch

    fid = pytest.importorskip("torch_fidelity.metric_fid")
    ours, theirs = features(0, count, width), features(1, count + 7, width)
    one, other = (fid.fid_features_to_statistics(torch.from_numpy(x)) for x in (ours, theirs))
    expected = fid.fid_statistics_to_metric(one, other, verbose=False)[fid.KEY_METRIC_FID]
    assert frechet(Moments.of(ours).gaussian, Moments.of(theirs).gaussian) == pytest.approx(expected, rel=1e-6)


def test_gaussians_with_common_axes_have_a_closed_form():
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    a, b, shift = rng.uniform(0, 3, 12), rng.uniform(0, 3, 12), rng.normal(size=12)
    one, other = (Gaussian(m, (axes * s**2) @ axes.T) for m, s in ((np.zeros(12), a), (shift, b)))
    assert frechet(one, other) == pytest.approx(shift @ shift + ((a - b) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("count", [5, 40, 500])
def test_identical_sets_give_nothing_however_few(count):
    rows = features(2, count, 40)
    gaussian, again = Moments.of(rows).gaussian, Moments.of(rows[::-1]).gaussian
    assert frechet(gaussian, gaussian) <= 1e-12 * np.trace(gaussian.cov)
    assert frechet(gaussian, again) <= 1e-9 * np.trace(gaussian.cov)


def test_fewer_images_than_features_lose_no_digits():
    ours, theirs = features(3, 30, 50), features(4, 35, 50)
    centred = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (ours, theirs)]  # roots that need no eigenvalue
    cross = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum()
    shift = ours.mean(0) - theirs.mean(0)
    expected = shift @ shift + sum((c**2).sum() for c in centred) - 2 * cross
    assert frechet(Moments.of(ours).gaussian, Moments.of(theirs).gaussian) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("cuts", [[500], [200, 300], [1, 99, 150, 249, 1]])
def test_moments_of_parts_merge_to_the_moments_of_the_whole(cuts):
    rows = features(5, 500, 30) + 100  # far from zero, where sums of squares lose digits
    parts = np.split(rows, np.cumsum(cuts)[:-1])
    merged = Moments.of(parts[0])
    for part in parts[1:]:
        merged.merge(Moments.of(part))
    np.testing.assert_allclose(merged.gaussian.cov, np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(merged.gaussian.mean, rows.mean(0), rtol=1e-13)
    other = Moments.of(features(6, 400, 30) + 100).gaussian
    assert frechet(merged.gaussian, other) == pytest.approx(frechet(Moments.of(rows).gaussian, other), rel=1e-9)
