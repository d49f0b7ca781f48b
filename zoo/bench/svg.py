"""Line charts and bar charts as SVG, written by hand: no library, readable in a diff, sharp at any size."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from zoo.bench.figure import COLORS, Axis, Bars, Chart, Line, short

INK, FAINT, SOFT, PAPER = "#333840", "#e3e6eb", "#697080", "#ffffff"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 880, 470, 76, 216, 62, 58
LINE, BAR = 17, 15  # pixels between names, and of a bar
FONT = "font-family=\"system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif\""


def chart_svg(chart: Chart) -> str:
    """The chart as SVG; names stand at the ends of their curves."""
    xs = [x for line in chart.lines for x in line.xs]
    ys = [y for line in chart.lines for y in (*line.ys, *line.low, *line.high)]
    across = Axis(xs, True, LEFT, WIDTH - RIGHT) if chart.x_log else _span(xs)
    up = Axis(ys, chart.y_log, HEIGHT - BOTTOM, TOP)
    x_ticks = next(t for t in (sorted(set(xs)), [x for x in sorted(set(xs)) if x % 256 == 0], across.ticks)
                   if 2 <= len(t) <= 8 or t == across.ticks)  # the sizes themselves, or round ones  # fmt: skip
    parts = _heading(chart)
    for y in up.ticks:
        parts += [_stroke(LEFT, up(y), WIDTH - RIGHT, up(y), FAINT), _text(LEFT - 8, up(y) + 4, short(y), anchor="end")]
    for x in x_ticks:
        parts += [_stroke(across(x), HEIGHT - BOTTOM, across(x), HEIGHT - BOTTOM + 5, INK),
                  _text(across(x), HEIGHT - BOTTOM + 20, short(x), anchor="middle")]  # fmt: skip
    for i, (x, words) in enumerate(chart.marks):
        parts += [_stroke(across(x), TOP, across(x), HEIGHT - BOTTOM, INK, "2 4"),
                  _text(across(x) + 5, TOP + 10 + 14 * i, words, size=11)]  # fmt: skip
    parts.append(_stroke(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, INK))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts += [_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, chart.x_label, anchor="middle"),
              _text(18, middle, chart.y_label, anchor="middle", turn=True)]  # fmt: skip
    named = []
    for i, line in enumerate(chart.lines):
        color = line.color or COLORS[i % len(COLORS)]
        parts += _curve(line, across, up, color)
        named.append((up(line.ys[-1]), across(line.xs[-1]), line.name, color))
    return _page(WIDTH, HEIGHT, parts + _names(named), chart.title)


def bars_svg(bars: Bars) -> str:
    """The bars as SVG, lying, longest scale for all groups."""
    names = list(dict.fromkeys(name for _, group in bars.groups for name, _ in group))
    left = 24 + 6.6 * max(len(group) for group, _ in bars.groups)
    top = TOP + 22
    height = top + sum(len(group) * (BAR + 2) + 12 for _, group in bars.groups) + 12
    reach = WIDTH - left - 150
    largest = max(value for _, group in bars.groups for _, value in group)
    parts = _heading(bars)
    place = 16.0
    for name in names:
        parts += [f'<rect x="{place:.0f}" y="56" width="11" height="11" fill="{_color(names, name)}"/>',
                  _text(place + 16, 66, name, size=11)]  # fmt: skip
        place += 34 + 6.4 * len(name)
    y = float(top)
    for title, group in bars.groups:
        parts.append(_text(left - 8, y + len(group) * (BAR + 2) / 2 + 4, title, anchor="end", size=11.5))
        for name, value in group:
            length = max(1.0, reach * value / largest)
            note = bars.notes.get((title, name), "")
            parts += [f'<rect x="{left:.0f}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" '
                      f'fill="{_color(names, name)}"><title>{escape(name)}</title></rect>',
                      _text(left + length + 6, y + BAR - 3, f"{short(value)} {bars.unit}{note}", size=11)]  # fmt: skip
            y += BAR + 2
        y += 12
    return _page(WIDTH, height, parts, bars.title)


def _heading(picture: Chart | Bars) -> list[str]:
    return [_text(16, 24, picture.title, size=15, weight=600), _text(16, 43, picture.where, size=11.5, fill=SOFT)]


def _span(xs: Sequence[float]) -> Axis:
    """A plain axis from the first value to the last."""
    axis = Axis(xs, False, LEFT, WIDTH - RIGHT)
    axis.low, axis.high = min(xs), max(max(xs), min(xs) + 1e-9)
    return axis


def _curve(line: Line, across: Axis, up: Axis, color: str) -> list[str]:
    points = [(across(x), up(y)) for x, y in zip(line.xs, line.ys)]
    parts = []
    if line.low and line.high:
        there = [(across(x), up(y)) for x, y in zip(line.xs, line.high)]
        back = [(across(x), up(y)) for x, y in zip(line.xs, line.low)]
        parts.append(f'<polygon points="{_points(there + back[::-1])}" fill="{color}" fill-opacity="0.18"/>')
    dash = ' stroke-dasharray="7 5"' if line.dashed else ""
    parts.append(f'<polyline points="{_points(points)}" fill="none" stroke="{color}" stroke-width="2.2"{dash}/>')
    if len(points) <= 30:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.8" fill="{PAPER if line.dashed else color}" '
                  f'stroke="{color}"/>' for x, y in points]  # fmt: skip
    return parts


def _names(named: list[tuple[float, float, str, str]]) -> list[str]:
    """Each name at the right, at the height of its curve's end, moved where two would touch."""
    parts, lowest = [], float(TOP)
    overflow = max(0.0, _stacked([y for y, *_ in named]) - (HEIGHT - BOTTOM))
    for y, x, name, color in sorted(named):
        place = max(y - overflow, lowest)
        lowest = place + LINE
        if abs(place - y) > 2 or x < WIDTH - RIGHT - 2:
            parts.append(_stroke(x + 4, y, WIDTH - RIGHT + 14, place, color, "1 3"))
        parts.append(_text(WIDTH - RIGHT + 18, place + 4, name, fill=color, weight=600))
    return parts


def _stacked(places: Sequence[float]) -> float:
    """Where the last name would stand if each makes room for the one before."""
    at = float(TOP)
    for place in sorted(places):
        at = max(place, at) + LINE
    return at - LINE if places else at


def _color(names: Sequence[str], name: str) -> str:
    return COLORS[list(names).index(name) % len(COLORS)]


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _stroke(x1: float, y1: float, x2: float, y2: float, color: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{dashed}/>'


def _text(x: float, y: float, words: str, *, size: float = 12, anchor: str = "start", fill: str = INK,
          weight: int = 400, turn: bool = False) -> str:  # fmt: skip
    turned = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turn else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}" '
            f'font-weight="{weight}"{turned}>{escape(words)}</text>')  # fmt: skip


def _page(width: float, height: float, parts: Sequence[str], title: str) -> str:
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" role="img" {FONT}>')  # fmt: skip
    paper = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", paper, *parts, "</svg>"]) + "\n"
