"""The loss curve as a picture, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from zoo.loggers.protocol import Record
from zoo.sampling.picture import save_picture

Points = list[tuple[float, float]]
Range = tuple[float, float]
Scale = Callable[[float], float]
WIDTH, HEIGHT, SHARP = 880, 480, 2  # drawn twice as large and brought down, for smooth lines
LEFT, RIGHT, TOP, BOTTOM = 72, 24, 44, 52
INK, FAINT, PAPER = (60, 64, 72), (228, 230, 235), (255, 255, 255)
STYLES = {"train": ((188, 204, 226), 1.2), "train, smoothed": ((46, 98, 172), 2.2), "val": ((214, 110, 36), 2.2),
          "val, averaged": ((38, 138, 92), 2.2), "best constant": ((150, 154, 162), 1.4)}  # fmt: skip


def curves(records: Sequence[Record]) -> dict[str, Points]:
    """The lines of the picture from records of metrics: name -> (step, loss)."""
    pick = lambda key: [(r["step"], r[key]) for r in records if r["step"] > 0 and _drawable(r.get(key))]  # noqa: E731
    train, constant = pick("loss"), pick("val_constant")
    if train and constant:
        constant = [(train[0][0], constant[-1][1]), (train[-1][0], constant[-1][1])]
    found = {"train": train, "train, smoothed": smooth(train), "val": pick("val"), "val, averaged": pick("val_ema"),
             "best constant": constant}  # fmt: skip
    return {name: points for name, points in found.items() if points}


def smooth(points: Points, span: float = 0.1) -> Points:
    """A moving average of the logarithm over the last part of the points so far: as wide everywhere on this axis."""
    level, smoothed = 0.0, []
    for i, (step, loss) in enumerate(points, 1):
        level += (math.log(loss) - level) / max(span * i, 1)
        smoothed.append((step, math.exp(level)))
    return smoothed


def draw_curve(records: Sequence[Record], path: Path, title: str) -> Path | None:
    """Write the picture; both axes are logarithmic. None if there is nothing to draw yet."""
    lines = curves(records)
    if not lines:
        return None
    steps, losses = ([p[k] for points in lines.values() for p in points] for k in (0, 1))
    across = _scale(_range(steps, 1.0), LEFT, WIDTH - RIGHT)
    up = _scale(_range(losses, 1.05), HEIGHT - BOTTOM, TOP)
    sheet = Image.new("RGB", (WIDTH * SHARP, HEIGHT * SHARP), PAPER)
    pen = ImageDraw.Draw(sheet)
    _axes(pen, across, up, _range(steps, 1.0), _range(losses, 1.05))
    for name, points in lines.items():
        color, width = STYLES[name]
        places = [(across(x) * SHARP, up(y) * SHARP) for x, y in points]
        if len(places) > 1:
            pen.line(places, fill=color, width=round(width * SHARP), joint="curve")
        if len(places) < 40 and name.startswith("val"):
            for x, y in places:
                pen.ellipse((x - 3 * SHARP, y - 3 * SHARP, x + 3 * SHARP, y + 3 * SHARP), fill=color)
    _title(pen, title, _legend(pen, list(lines)))
    return save_picture(sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), path)


def ticks(low: float, high: float, most: int = 10) -> list[float]:
    """Round numbers in [low, high]: 1, 2, 5 times powers of ten, or finer steps where that gives too few."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        found = [d * 10.0**p for p in powers for d in digits if low <= d * 10.0**p <= high]
        if 3 <= len(found) <= most:
            return found
    power = 10.0 ** math.floor(math.log10(max(high - low, 1e-12) / 2))
    step = power * next(k for k in (1, 2, 5, 10) if (high - low) / (k * power) <= most)
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _axes(pen: ImageDraw.ImageDraw, across: Scale, up: Scale, steps: Range, losses: Range) -> None:
    small = ImageFont.load_default(12 * SHARP)
    for x in ticks(*steps):
        place = across(x) * SHARP
        pen.line((place, TOP * SHARP, place, (HEIGHT - BOTTOM) * SHARP), fill=FAINT, width=SHARP)
        pen.text((place, (HEIGHT - BOTTOM + 8) * SHARP), _short(x), INK, small, anchor="mt")
    for y in ticks(*losses):
        place = up(y) * SHARP
        pen.line((LEFT * SHARP, place, (WIDTH - RIGHT) * SHARP, place), fill=FAINT, width=SHARP)
        pen.text(((LEFT - 8) * SHARP, place), f"{y:.3g}", INK, small, anchor="rm")
    pen.text((WIDTH / 2 * SHARP, (HEIGHT - 8) * SHARP), "updates", INK, small, anchor="mb")


def _title(pen: ImageDraw.ImageDraw, title: str, end: float) -> None:
    """The title at the top left, shortened if it would reach into the legend at `end`."""
    font, room = ImageFont.load_default(14 * SHARP), end - LEFT * SHARP
    if font.getlength(title) > room:
        while title and font.getlength(f"{title}...") > room:
            title = title[:-1]
        title = f"{title.rstrip()}..."
    pen.text((LEFT * SHARP, 14 * SHARP), title, INK, font, anchor="lt")


def _legend(pen: ImageDraw.ImageDraw, names: list[str]) -> float:
    """Names at the top right, each behind a stroke of its line; returns where they begin."""
    font, right = ImageFont.load_default(12 * SHARP), (WIDTH - RIGHT) * SHARP
    for name in reversed([n for n in names if n != "train" or len(names) == 1]):
        color, width = STYLES[name]
        pen.text((right, 21 * SHARP), name, INK, font, anchor="rm")
        right -= font.getlength(name) + 6 * SHARP
        pen.line((right - 18 * SHARP, 21 * SHARP, right, 21 * SHARP), fill=color, width=round(width * SHARP))
        right -= 34 * SHARP
    return right


def _range(values: Sequence[float], margin: float) -> Range:
    low, high = min(values) / margin, max(values) * margin
    return (low, high) if high > low else (low / 1.2, high * 1.2)


def _scale(ends: Range, start: float, end: float) -> Scale:
    low, high = (math.log(v) for v in ends)
    return lambda value: start + (math.log(value) - low) / (high - low) * (end - start)


def _short(number: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g}{unit}"
    return f"{number:g}"


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0
