"""A sweep: its values, its table and its picture."""

from __future__ import annotations

import json
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from zoo.errors import RecipeError
from zoo.eval.api import Request
from zoo.eval.chart import draw_chart, ticks
from zoo.eval.sweep import parse_sweep, sweep_over


@pytest.mark.parametrize(("text", "values"), [
    ("guidance.scale=1..4:0.25", [f"{1 + i * 0.25:.2f}" for i in range(13)]),
    ("sampler.steps=10..50:20", ["10", "30", "50"]),
    ("sampler.steps=1..3", ["1", "2", "3"]),
    ("guidance.scale=1..2:0.3", ["1.0", "1.3", "1.6", "1.9"]),
    ("sampler.steps=10,20, 50,20", ["10", "20", "50"]),
    ("sampler.grid=uniform,log_snr", ["uniform", "log_snr"]),
    ("guidance.scale=-1..1:1", ["-1", "0", "1"]),
])  # fmt: skip
def test_values_are_read_exactly(text, values):
    found = parse_sweep(text).values
    assert [float(v) if v[-1].isdigit() else v for v in found] == [float(v) if v[-1].isdigit() else v for v in values]


@pytest.mark.parametrize("text", ["guidance.scale", "=1..2", "a=", "a=4..1:1", "a=1..4:0", "a=1..4:-1", "a=1..x:1",
                                  "a=1..1e9:1", "a=1..nan", "a=1..4:inf"])  # fmt: skip
def test_what_is_no_sweep_is_refused(text):
    with pytest.raises(RecipeError):
        parse_sweep(text)


def test_a_sweep_measures_every_value_and_draws(model, waves, tmp_path):
    asked = Request(model, extractor=waves, metrics=("fd", "is"), count=20, batch=10, device="cpu")
    told = []
    found = sweep_over(asked, parse_sweep("guidance.scale=1..2:0.5"), tmp_path / "out",
                       tell=lambda value, result: told.append(value))  # fmt: skip
    assert told == ["1.0", "1.5", "2.0"]
    assert [r.protocol["guidance"]["scale"] for r in found] == [1.0, 1.5, 2.0]
    assert len({r.metrics["FD-waves"] for r in found}) == 3
    table = json.loads((tmp_path / "out/sweep.json").read_text())
    assert table["key"] == "guidance.scale"
    assert [row["metrics"] for row in table["results"]] == [r.metrics for r in found]
    picture = ElementTree.parse(tmp_path / "out/sweep.svg").getroot()
    spots = picture.iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(spots)) == 6


def test_a_setting_that_does_not_fit_is_named_before_anything_is_drawn(model, waves, tmp_path, data_folder):
    asked = Request(model, extractor=waves, count=20, device="cpu")
    for text, words in (("guidance.scal=1..2", "did you mean 'scale'"), ("train.steps=1,2", "the weights have fixed"),
                        ("sampler.steps=3,x", "expected int")):  # fmt: skip
        with pytest.raises(RecipeError, match=words):
            sweep_over(asked, parse_sweep(text), tmp_path / "out")
    assert not data_folder.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.5, 4), (-3, 900), (2.9, 2.94), (1e-5, 3e-5)])
def test_ticks_are_round_few_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 8 and all(low - 1e-9 <= t <= high + 1e-9 for t in found)
    steps = {round((b - a) / (high - low), 6) for a, b in pairwise(found)}
    assert len(steps) == 1


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(0.0, 5.0), (1.0, 5.0)], [(0.0, float("nan")), (1.0, 3.0)]])
def test_odd_curves_are_drawn_as_valid_svg(points):
    ElementTree.fromstring(draw_chart({"a <b> & c": points}, "x", ["one", "two"]))
