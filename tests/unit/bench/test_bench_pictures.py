"""Charts put values where they belong, in well-formed SVG."""

import math
import xml.etree.ElementTree as ElementTree
from itertools import pairwise

import pytest

from zoo.bench.figure import Axis, Bars, Chart, Line, short
from zoo.bench.svg import bars_svg, chart_svg

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def places(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    lines = [line.get("points").split() for line in root.iter(f"{SVG}polyline")]
    return [[tuple(map(float, p.split(","))) for p in line] for line in lines]


def test_a_straight_line_is_straight():
    (line,) = places(parsed(chart_svg(Chart("t", "w", "x", "y", [Line("a", [1, 2, 4], [10, 20, 40])]))))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.01) and slopes[0] < 0  # up is a smaller y


def test_a_power_is_straight_on_logarithmic_axes():
    xs = [256, 512, 1024]
    chart = Chart("t", "w", "x", "y", [Line("a", xs, [x**-2 for x in xs])], x_log=True, y_log=True)
    (line,) = places(parsed(chart_svg(chart)))
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(line)]
    assert slopes[0] == pytest.approx(slopes[1], rel=0.01) and slopes[0] > 0


def test_names_do_not_touch_and_stay_on_the_sheet():
    lines = [Line(f"<{i}> & co", [1, 2], [1, 1 + 1e-6 * i]) for i in range(7)]
    root = parsed(chart_svg(Chart("t", "w", "x", "y", lines)))
    heights = sorted(float(t.get("y")) for t in root.iter(f"{SVG}text") if "& co" in t.text)
    assert len(heights) == 7 and all(b - a >= 16 for a, b in pairwise(heights))
    assert heights[0] > 0 and heights[-1] < float(root.get("height"))


def test_quoted_curves_are_dashed_and_bands_are_drawn():
    lines = [Line("a", [1, 2], [1, 2], low=[0.9, 1.9], high=[1.1, 2.1]), Line("b", [1, 2], [2, 1], dashed=True)]
    root = parsed(chart_svg(Chart("t", "w", "x", "y", lines, marks=[(1.5, "here")])))
    assert [p.get("stroke-dasharray") is not None for p in root.iter(f"{SVG}polyline")] == [False, True]
    assert len(list(root.iter(f"{SVG}polygon"))) == 1 and any(t.text == "here" for t in root.iter(f"{SVG}text"))


def test_bars_are_as_long_as_their_values():
    root = parsed(bars_svg(Bars("t", "w", "G/s", [("one", [("a", 10.0), ("b", 5.0)]), ("two", [("a", 2.5)])])))
    widths = [float(r.get("width")) for r in root.iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]
    assert widths == pytest.approx([widths[0], widths[0] / 2, widths[0] / 4], rel=0.01)


@pytest.mark.parametrize(("low", "high"), [(0.003, 0.4), (1, 9), (40, 60), (2.9, 257), (1e-5, 1e6)])
@pytest.mark.parametrize("log", [True, False])
def test_ticks_are_some_round_numbers_inside(low, high, log):
    axis = Axis([low, high], log, 0, 100)
    assert 2 <= len(axis.ticks) <= 13
    assert all(axis.low <= tick <= axis.high and -1e-6 <= axis(tick) <= 100 + 1e-6 for tick in axis.ticks)
    digits = [tick / 10 ** math.floor(math.log10(tick)) for tick in axis.ticks if tick > 0]
    assert all(abs(d * 20 - round(d * 20)) < 1e-6 for d in digits)


def test_numbers_are_short():
    wanted = {0: "0", 1: "1", 0.0213: "0.0213", 2126.4: "2,126", 16.84: "16.8", 256: "256", 27990: "27,990", 0.5: "0.5"}
    assert {value: short(value) for value in wanted} == wanted
