"""How far sampling is: a bar on a terminal, a line a minute elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor

EVERY = 60.0
"""Seconds between lines where there is no terminal."""


class Progress:
    """Counts images up to `total`, of which `done` were there before."""

    def __init__(self, total: int, done: int, console: Console | None = None):
        self.total, self.before, self.done = total, done, float(done)
        self.finished = done
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                   TimeRemainingColumn(elapsed_when_finished=True))  # fmt: skip
        self.bar = Bar(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.bar.add_task("", total=total, completed=done)
        self.began = self.said = time.monotonic()

    def __enter__(self) -> Progress:
        self.bar.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.__exit__(kind, error, trace)

    def step(self, i: int, n: int, x: Tensor) -> None:
        """Hears a sampler's step i of n on a batch."""
        self._show(self.finished + len(x) * (i + 1) / (n + 1))

    def drawn(self, images: int) -> None:
        """So many more images are there."""
        self.reach(self.finished + images)

    def reach(self, images: int) -> None:
        """So many images are there in all."""
        self.finished = images
        self._show(images)

    def _show(self, done: float) -> None:
        self.done = max(done, self.done)
        self.bar.update(self.task, completed=self.done)
        if not self.console.is_terminal and time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            self.console.print(self.line(self.said - self.began), markup=False)

    def line(self, elapsed: float) -> str:
        """Where we are after so many seconds, on one line."""
        rate = (self.done - self.before) / elapsed if elapsed > 0 else 0.0
        left = (self.total - self.done) / rate if rate else math.nan
        return f"sampling {int(self.done):,}/{self.total:,} images, {rate:.3g} images/s, {duration(left)} left"


YEAR = 365.25 * 86400


def duration(seconds: float) -> str:
    """Seconds in words: "3 h 12 min"; from two years on "883 years"."""
    if not math.isfinite(seconds):
        return "?"
    if seconds >= 2 * YEAR:
        return f"{seconds / YEAR:,.0f} years"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    first = next((i for i, (number, _) in enumerate(parts) if number), 3)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number or first == 3)
