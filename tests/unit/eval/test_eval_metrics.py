"""Metrics on given features, against torch-fidelity and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.errors import ZooError
from zoo.eval.metric.density_coverage import DensityCoverage
from zoo.eval.metric.fd import FrechetDistance
from zoo.eval.metric.inception_score import InceptionScore
from zoo.eval.metric.kd import KernelDistance
from zoo.eval.metric.precision_recall import PrecisionRecall
from zoo.eval.metric.sfd import SpatialFrechetDistance
from zoo.eval.tally import Needs, Tally

CPU = torch.device("cpu")
NEEDS = Needs(frozenset({"features", "spatial"}), frozenset({"features", "logits"}))


def tally(seed: int, count: int = 300, shift: float = 0.0, order: np.ndarray | None = None) -> Tally:
    """Features that float32 holds exactly, in any order of arrival."""
    rng = np.random.default_rng(seed)
    rows = (rng.normal(size=(count, 24)) + shift).astype(np.float32)
    made, order = Tally(NEEDS), np.arange(count) if order is None else order
    for part in np.array_split(order, min(4, count)):
        made.add(part, np.zeros((len(part), 2, 2, 3), np.uint8), {"features": rows[part], "spatial": rows[part, :9],
                                                                  "logits": rows[part, :7] * 3})  # fmt: skip
    return made


def double(made: Tally, stream: str = "features") -> torch.Tensor:
    return torch.from_numpy(made.rows(stream))


def test_kernel_distance_equals_torch_fidelity():
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    ours, real = tally(0), tally(1, 280, 0.2)
    expected = kid.kid_features_to_metric(double(ours), double(real), kid_subsets=7, kid_subset_size=120, verbose=False)
    found = KernelDistance(subsets=7, subset=120)(ours, real, CPU)
    assert found["KD"] == pytest.approx(expected[kid.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert found["KD-std"] == pytest.approx(expected[kid.KEY_METRIC_KID_STD], rel=1e-9)


def test_kernel_distance_is_an_unbiased_mmd():
    ours, real = (x.numpy() for x in (double(tally(0, 40)), double(tally(1, 40))))
    kernel = lambda a, b: (a @ b / a.size + 1) ** 3  # noqa: E731
    pairs = [(i, j) for i in range(40) for j in range(40)]
    within = np.mean([kernel(x[i], x[j]) for x in (ours, real) for i, j in pairs if i != j]) * 2
    expected = within - 2 * np.mean([kernel(ours[i], real[j]) for i, j in pairs])
    found = KernelDistance(subsets=1, subset=40)(tally(0, 40), tally(1, 40), CPU)["KD"]
    assert found == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_equal_torch_fidelity(k):
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    ours, real = tally(0, 200), tally(1, 240, 0.25)
    expected = prc.prc_features_to_metric(double(ours), double(real), prc_neighborhood=k, verbose=False)
    found = PrecisionRecall(k=k)(ours, real, CPU)
    # torch-fidelity averages in float32
    assert found["precision"] == pytest.approx(expected[prc.KEY_METRIC_PRECISION], abs=1e-7)
    assert found["recall"] == pytest.approx(expected[prc.KEY_METRIC_RECALL], abs=1e-7)
    assert 0 < found["precision"] < 1 and found["precision"] != found["recall"]


def test_inception_score_equals_torch_fidelity():
    isc = pytest.importorskip("torch_fidelity.metric_isc")
    ours = tally(0)
    expected = isc.isc_features_to_metric(double(ours, "logits"), splits=5)
    found = InceptionScore(splits=5)(ours, None, CPU)
    assert found["IS"] == pytest.approx(expected[isc.KEY_METRIC_ISC_MEAN], rel=1e-12)
    assert found["IS-std"] == pytest.approx(expected[isc.KEY_METRIC_ISC_STD], rel=1e-9)


def test_inception_score_of_sure_and_even_guesses_is_the_number_of_classes():
    made = Tally(Needs(rows=frozenset({"logits"})))
    logits = np.tile(np.eye(4, dtype=np.float32) * 1000, (25, 1))
    made.add(range(100), np.zeros((100, 1, 1, 3), np.uint8), {"logits": logits})
    assert InceptionScore(splits=1)(made, None, CPU)["IS"] == pytest.approx(4)


def test_density_and_coverage_equal_brute_force():
    ours, real, k = tally(0, 60), tally(1, 50, 0.2), 4
    x, y = double(ours).numpy(), double(real).numpy()
    distance = lambda a, b: float(np.sqrt(((a - b) ** 2).sum()))  # noqa: E731
    radius = [sorted(distance(a, b) for b in y)[k] for a in y]
    inside = np.array([[distance(a, b) <= r for b, r in zip(y, radius)] for a in x])
    found = DensityCoverage(k=k)(ours, real, CPU)
    assert found["density"] == pytest.approx(inside.sum() / (k * len(x)))
    assert found["coverage"] == pytest.approx(inside.any(0).mean())
    assert 0 < found["coverage"] < 1


def test_identical_sets_are_at_the_ideal_end_of_every_metric():
    ours, real = tally(0), tally(0, order=np.arange(300)[::-1])
    assert FrechetDistance()(ours, real, CPU)["FD"] < 1e-9
    assert SpatialFrechetDistance()(ours, real, CPU)["sFD"] < 1e-9
    assert PrecisionRecall()(ours, real, CPU) == {"precision": 1.0, "recall": 1.0}
    assert DensityCoverage()(ours, real, CPU)["coverage"] == 1.0
    assert KernelDistance(subsets=2)(ours, real, CPU)["KD"] < 0  # an unbiased estimate falls below zero


def test_rows_come_by_number_however_they_arrived():
    shuffled = tally(0, order=np.random.default_rng(5).permutation(300))
    np.testing.assert_array_equal(shuffled.rows("features"), tally(0).rows("features"))
    assert KernelDistance(subsets=2, subset=50)(shuffled, tally(1), CPU) == (
        KernelDistance(subsets=2, subset=50)(tally(0), tally(1), CPU))


def test_too_few_images_for_neighbours_are_refused():
    with pytest.raises(ZooError, match="3 images have no 3 neighbours"):
        PrecisionRecall()(tally(0, 3), tally(1), CPU)


@pytest.mark.parametrize(("part", "fields"), [(KernelDistance, {"subsets": 0}), (InceptionScore, {"splits": 0}),
                                              (PrecisionRecall, {"k": 0}), (DensityCoverage, {"k": 0})])  # fmt: skip
def test_impossible_settings_are_refused(part, fields):
    with pytest.raises(ZooError, match="allowed"):
        part(**fields)
