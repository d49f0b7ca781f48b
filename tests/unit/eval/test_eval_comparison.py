"""Which differences of a protocol forbid a comparison, and which are its point."""

from __future__ import annotations

import copy

import pytest

from zoo.errors import DataError
from zoo.eval.comparison import FIELDS, compare
from zoo.eval.result import Result

PROTOCOL = {
    "count": 50000,
    "images": {"kind": "generated", "size": "32x32", "resize": "none", "rounding": "to uint8, half to even, clipped",
               "sha256": "ab"},
    "model": {"source": "runs/a", "recipe": "0123", "weights": "cd", "ema": True, "step": 500000},
    "sampler": {"use": "dpm_solver", "steps": 50}, "guidance": {"use": "cfg", "scale": 1.5},
    "autoencoder": {"use": "identity"}, "labels": "all classes in turn", "seed": 0, "dtype": "fp32",
    "extractor": {"name": "inception", "sha256": "ef", "resize": "bilinear"},
    "reference": {"kind": "data set", "source": "cifar10", "split": "train", "size": "32x32", "resize": "middle",
                  "rounding": "as stored", "count": 50000, "hash": "12"},
    "metrics": {"fd": {}, "kd": {"subsets": 100}}, "batch": 64, "device": "cuda",
    "versions": {"torch": "2.11.0", "zoo": "0.1.0"},
}  # fmt: skip
CHANGES = [
    ("count", 10000, "yardstick"), ("images.size", "64x64", "yardstick"), ("images.resize", "bicubic", "yardstick"),
    ("images.rounding", "floor", "yardstick"), ("extractor.name", "clip", "yardstick"),
    ("extractor.sha256", "99", "yardstick"), ("reference.hash", "34", "yardstick"),
    ("reference.split", "val", "yardstick"), ("reference.count", 10000, "yardstick"),
    ("reference.resize", "bilinear", "chance"), ("metrics.kd.subsets", 10, "yardstick"),
    ("labels", "none", "yardstick"), ("model.ema", False, "subject"), ("model.recipe", "4567", "subject"),
    ("model.weights", "ee", "subject"), ("model.step", 400000, "subject"), ("sampler.use", "ddim", "subject"),
    ("sampler.steps", 100, "subject"), ("guidance.scale", 1.0, "subject"), ("dtype", "bf16", "subject"),
    ("seed", 1, "chance"), ("batch", 128, "chance"), ("device", "cpu", "chance"),
    ("versions.torch", "2.10.0", "chance"),
]  # fmt: skip


def changed(field: str, value) -> Result:
    protocol = copy.deepcopy(PROTOCOL)
    *path, last = field.split(".")
    node = protocol
    for step in path:
        node = node[step]
    node[last] = value
    return Result({"FID": 2.92, "KID": 0.001}, protocol)


OURS = Result({"FID": 2.94, "KID": 0.002}, PROTOCOL)


@pytest.mark.parametrize(("field", "value", "kind"), CHANGES)
def test_each_single_difference_is_found_and_weighed(field, value, kind):
    found = compare(OURS, changed(field, value))
    assert [(d.field, d.theirs, d.kind) for d in found.differences] == [(field, value, kind)]
    assert found.comparable == (kind != "yardstick")
    assert field in found.verdict


def test_more_than_a_dozen_fields_are_tried():
    assert len(CHANGES) > 12


def test_the_same_protocol_is_the_same_measurement():
    found = compare(OURS, OURS)
    assert found.comparable and not found.differences and "measured twice" in found.verdict


def test_only_figures_of_both_are_compared_and_only_their_settings_count():
    other = changed("count", 50000)
    other.protocol["metrics"] = {"fd": {}, "pr": {"k": 3}}
    other.metrics.pop("KID")
    found = compare(OURS, other)
    assert found.comparable and found.figures == {"FID": (2.94, 2.92)} and not found.differences


def test_figures_of_other_features_have_other_names_and_nothing_in_common():
    found = compare(OURS, Result({"FD-clip": 3.0}, changed("extractor.name", "clip").protocol))
    assert not found.comparable and "no figure in common" in found.verdict


def test_a_field_that_nobody_knows_forbids_the_comparison():
    assert not compare(OURS, Result(OURS.metrics, {**PROTOCOL, "colour": "srgb"})).comparable


def test_every_reason_is_a_sentence_and_every_kind_is_used():
    assert {kind for kind, _ in FIELDS.values()} == {"yardstick", "subject", "chance"}
    assert all(why for _, why in FIELDS.values())


def test_a_result_survives_its_file(tmp_path):
    path = Result({"FID": 2.5, "KID": float("nan")}, PROTOCOL, ["few"]).save(tmp_path)
    again = Result.load(tmp_path)
    assert path.name == "eval.json" and again.protocol == PROTOCOL and again.notes == ["few"]
    assert again.metrics["FID"] == 2.5 and again.metrics["KID"] != again.metrics["KID"]


@pytest.mark.parametrize("text", ["", "[]", '{"metrics": 3}', '{"metrics": {"FID": "x"}, "protocol": {}}'])
def test_a_file_that_is_no_result_is_refused(text, tmp_path):
    (tmp_path / "eval.json").write_text(text)
    with pytest.raises(DataError, match=r"eval\.json"):
        Result.load(tmp_path)
