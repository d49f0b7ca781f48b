"""A study as a picture: curves of the held-out loss, bars with spread, and samples row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.ablate.report import Report, title
from zoo.ablate.spread import Figure
from zoo.sampling.picture import save_picture, strip
from zoo.train.curve import ticks

SHARP, HEIGHT, PANEL, MARGIN = 2, 420, 520, 64
INK, FAINT, PAPER = (60, 64, 72), (228, 230, 235), (255, 255, 255)
COLORS = [(60, 64, 72), (46, 98, 172), (214, 110, 36), (38, 138, 92), (180, 60, 120), (130, 96, 190), (150, 130, 40),
          (40, 150, 170), (170, 70, 60), (110, 120, 130)]  # fmt: skip
LEGIBLE = 560
Points = list[tuple[float, float]]


def draw_study(report: Report, path: Path) -> Path:
    """Curves on the left, then a panel of bars for the loss and each metric."""
    names = report.metrics
    sheet = Image.new("RGB", ((1 + len(names)) * PANEL * SHARP, HEIGHT * SHARP), PAPER)
    pen = ImageDraw.Draw(sheet)
    lines = {row.label: [[tuple(p) for p in r["curve"]] for r in report.study.results(row)] for row in report.rows}
    curves(pen, 0, lines, "held-out loss over images seen")
    for i, name in enumerate(names, 1):
        bars(pen, i * PANEL, {label: found[name] for label, found in report.figures.items() if name in found},
             [row.label for row in report.rows], title(name))  # fmt: skip
    return save_picture(sheet.resize((sheet.width // SHARP, HEIGHT), Image.Resampling.LANCZOS), path)


def curves(pen: ImageDraw.ImageDraw, left: int, lines: dict[str, list[Points]], head: str) -> None:
    """A band from the lowest to the highest seed, and their mean, of losses on a logarithmic axis."""
    points = [(x, math.log(y)) for runs in lines.values() for run in runs for x, y in run if x > 0]
    if not points:
        return
    (x0, x1), (y0, y1) = _range([p[0] for p in points], 0.0), _range([p[1] for p in points], 0.03)
    across = lambda x: (left + MARGIN + (x - x0) / (x1 - x0) * (PANEL - MARGIN - 24)) * SHARP  # noqa: E731
    up = lambda y: (HEIGHT - 48 - (y - y0) / (y1 - y0) * (HEIGHT - 96)) * SHARP  # noqa: E731
    small = _font(12)
    for y in ticks(math.exp(y0), math.exp(y1), 8):
        pen.line((across(x0), up(math.log(y)), across(x1), up(math.log(y))), fill=FAINT, width=SHARP)
        pen.text((across(x0) - 8 * SHARP, up(math.log(y))), f"{y:.3g}", INK, small, anchor="rm")
    for x in even(x0, x1):
        pen.text((across(x), (HEIGHT - 40) * SHARP), f"{x:,.0f}", INK, small, anchor="mt")
    for i, runs in enumerate(lines.values()):
        color = COLORS[i % len(COLORS)]
        shared = [column for column in zip(*runs) if column[0][0] > 0]
        if len(shared) < 2:
            continue
        ys = np.log([[p[1] for p in column] for column in shared])
        xs = [across(column[0][0]) for column in shared]
        if ys.shape[1] > 1:
            edge = [*zip(xs, map(up, ys.max(1))), *reversed([*zip(xs, map(up, ys.min(1)))])]
            pen.polygon(edge, fill=_pale(color))
        pen.line([*zip(xs, map(up, ys.mean(1)))], fill=color, width=2 * SHARP, joint="curve")
    for i, label in enumerate(lines):
        y = (52 + 16 * i) * SHARP
        pen.text(((left + PANEL - 28) * SHARP, y), _fitting(label, 200), COLORS[i % len(COLORS)], small, anchor="rm")
    pen.text(((left + MARGIN) * SHARP, 14 * SHARP), head, INK, _font(14), anchor="lt")


def bars(pen: ImageDraw.ImageDraw, left: int, figures: dict[str, Figure], order: Sequence[str], head: str) -> None:
    """A bar a row and the spread of its difference to the first; from zero unless all rows are close together."""
    small, names = _font(12), 150
    high = max(f.mean + (f.doubt or 0) for f in figures.values())
    low = min(f.mean - (f.doubt or 0) for f in figures.values())
    start = max(low - (high - low), 0.0) if low > 0.6 * high > 0 else min(low, 0.0)
    start = 0.0 if start == high else start
    end = high + 0.18 * (high - start) or 1.0
    across = lambda v: (left + names + (v - start) / (end - start) * (PANEL - names - 24)) * SHARP  # noqa: E731
    room = (HEIGHT - 96) / max(len(order), 1)
    for i, label in enumerate(order):
        middle, half = (48 + (i + 0.5) * room) * SHARP, min(room * 0.3, 14) * SHARP
        pen.text(((left + names - 8) * SHARP, middle), _fitting(label, names - 16), INK, small, anchor="rm")
        if (figure := figures.get(label)) is None:
            continue
        color = COLORS[i % len(COLORS)]
        pen.rectangle((across(start), middle - half, max(across(figure.mean), across(start)), middle + half),
                      fill=_pale(color) if figure.within_noise else color)  # fmt: skip
        tip = figure.mean
        if figure.doubt:
            ends = across(max(figure.mean - figure.doubt, start)), across(figure.mean + figure.doubt)
            pen.line((ends[0], middle, ends[1], middle), fill=INK, width=SHARP)
            for x in ends:
                pen.line((x, middle - half / 2, x, middle + half / 2), fill=INK, width=SHARP)
            tip = figure.mean + figure.doubt
        pen.text((across(tip) + 5 * SHARP, middle), f"{figure.mean:.4g}", INK, small, anchor="lm")
    told = f"± of the difference to {order[0]}, 95 % interval; pale: within it; axis from {start:.3g}"
    pen.text(((left + PANEL - 24) * SHARP, (HEIGHT - 20) * SHARP), told, INK, _font(11), anchor="rm")
    pen.text(((left + 24) * SHARP, 14 * SHARP), head, INK, _font(14), anchor="lt")


def draw_samples(report: Report, scale: int, path: Path) -> Path | None:
    """The samples of every row, one row below another, from the same noise; None if there are none."""
    found = [(row.label, report.study.samples(row, scale)) for row in report.rows]
    pictures = [(label, file) for label, file in found if file.exists()]
    if not pictures:
        return None
    sheets = []
    for _, file in pictures:
        with Image.open(file) as sheet:
            larger = max(1, round(LEGIBLE / sheet.width))
            sheets.append(sheet.convert("RGB").resize((sheet.width * larger, sheet.height * larger), 0))
    return save_picture(strip(sheets, [label for label, _ in pictures], down=True), path)


def even(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers in [low, high], evenly apart, at most so many."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(k * power for k in (1, 2, 5, 10, 20) if (high - low) / (k * power) <= most)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _range(values: Sequence[float], margin: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * margin if high > low else abs(high) * 0.1 or 1.0
    return low - room, high + room


def _pale(color: tuple[int, int, int]) -> tuple[int, int, int]:
    red, green, blue = (round(c + (255 - c) * 0.72) for c in color)
    return red, green, blue


def _font(size: int):
    return ImageFont.load_default(size * SHARP)


def _fitting(text: str, width: int) -> str:
    """The text cut to so many pixels."""
    font = _font(12)
    while font.getlength(text) > width * SHARP and len(text) > 4:
        text = text[:-4] + "..."
    return text
