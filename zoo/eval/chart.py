"""Curves as SVG, a panel a figure side by side, over one setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 360, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 44
INK, FAINT, LINE = "#3c4048", "#e4e6eb", "#2e62ac"


def draw_chart(curves: Mapping[str, Points], across: str, labels: Sequence[str] | None = None) -> str:
    """The text of an SVG file.

    Args:
        curves: name of a figure -> (x, value); values that are not finite are left out.
        across: what the horizontal axis is.
        labels: names at x = 0, 1, 2, ... instead of numbers.
    """
    drawn = {name: [p for p in points if math.isfinite(p[1])] for name, points in curves.items()}
    panels = [_panel(name, points, across, labels) for name, points in drawn.items()]
    placed = "".join(f'<g transform="translate({i * WIDTH},0)">{panel}</g>\n' for i, panel in enumerate(panels))
    width = max(len(panels), 1) * WIDTH
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
            f'font-family="system-ui, sans-serif" font-size="11" fill="{INK}">\n'
            f'<rect width="{width}" height="{HEIGHT}" fill="#fff"/>\n{placed}</svg>\n')  # fmt: skip


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in [low, high] at equal distances of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = power * next(k for k in (1, 2, 2.5, 5, 10) if span / (k * power) <= most)
    return [round(k * step, 12) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _panel(name: str, points: Points, across: str, labels: Sequence[str] | None) -> str:
    xs, ys = [p[0] for p in points] or [0.0], [p[1] for p in points] or [0.0]
    (left, right), (low, high) = _range(xs, 0.03), _range(ys, 0.08)
    place_x = lambda x: LEFT + (x - left) / (right - left) * (WIDTH - LEFT - RIGHT)  # noqa: E731
    place_y = lambda y: HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - BOTTOM - TOP)  # noqa: E731
    parts = [_text(LEFT, 20, name, "start", 13), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across, "middle")]
    for y in ticks(low, high):
        parts += [_rule(LEFT, place_y(y), WIDTH - RIGHT, place_y(y)), _text(LEFT - 6, place_y(y) + 4, f"{y:g}", "end")]
    marks = list(enumerate(labels[: len(xs)])) if labels else [(x, f"{x:g}") for x in ticks(min(xs), max(xs))]
    for x, label in marks:
        parts += [_rule(place_x(x), TOP, place_x(x), HEIGHT - BOTTOM),
                  _text(place_x(x), HEIGHT - BOTTOM + 15, label, "middle")]  # fmt: skip
    placed = [(place_x(x), place_y(y)) for x, y in points]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts.append(f'<polyline points="{corners}" fill="none" stroke="{LINE}" stroke-width="2"/>')
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINE}"><title>{px:g}: {py:.5g}</title></circle>'
              for (x, y), (px, py) in zip(placed, points)]  # fmt: skip
    return "\n".join(parts)


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * margin or abs(high) * margin or 1.0
    return low - room, high + room


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{FAINT}"/>'


def _text(x: float, y: float, text: str, anchor: str, size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
