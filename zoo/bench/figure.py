"""What a picture shows, and where values lie on its axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

COLORS = ("#0072b2", "#d55e00", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#666666")
"""Of Okabe and Ito: everybody can tell them apart."""


@dataclass(frozen=True)
class Line:
    """A curve; `low` and `high` are drawn as a band around it; a dashed one is quoted, not measured."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    dashed: bool = False
    color: str = ""


@dataclass(frozen=True)
class Chart:
    """Curves over two axes, each plain or logarithmic."""

    title: str
    where: str  # machine and conditions, in a line under the title
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_log: bool = False
    y_log: bool = False
    marks: Sequence[tuple[float, str]] = ()  # vertical strokes: where, and what it says


@dataclass(frozen=True)
class Bars:
    """Groups of bars with their value behind each: (group, [(name, value)])."""

    title: str
    where: str
    unit: str
    groups: Sequence[tuple[str, Sequence[tuple[str, float]]]]
    notes: dict[tuple[str, str], str] = field(default_factory=dict)  # (group, name) -> text behind the value


class Axis:
    """Values to places, from `start` to `end` in pixels."""

    def __init__(self, values: Sequence[float], log: bool, start: float, end: float):
        low, high = min(values), max(values)
        if not log:
            low, high = min(low, 0.0), high + 0.04 * (high - min(low, 0.0))
        elif low == high:
            low, high = low / 1.5, high * 1.5
        self.log, self.low, self.high, self.start, self.end = log, low, high or 1.0, start, end

    def __call__(self, value: float) -> float:
        scale = math.log if self.log else float
        low, high = scale(self.low), scale(self.high)
        return self.start + (scale(value) - low) / ((high - low) or 1.0) * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        """Some five to nine round values inside."""
        if self.log:
            for digits in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
                powers = range(math.floor(math.log10(self.low)) - 1, math.ceil(math.log10(self.high)) + 1)
                found = [d * 10.0**p for p in powers for d in digits if self.low <= d * 10.0**p <= self.high]
                if len(found) >= 4:
                    break
            return found  # pyright: ignore[reportPossiblyUnboundVariable]
        rough = (self.high - self.low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= rough)
        first = math.ceil(self.low / step)
        return [k * step for k in range(first, math.floor(self.high / step) + 1)]


def short(value: float) -> str:
    """Three digits, without powers of ten where people would not use them."""
    if value == 0:
        return "0"
    if abs(value) >= 10000 and value == round(value):
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}" if abs(value) >= 1e-5 else f"{value:.1e}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
