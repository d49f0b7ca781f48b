"""What the screen shows: a live line with a curve on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from zoo.loggers.protocol import Record
from zoo.sampling.progress import duration
from zoo.train.settings import Train
from zoo.train.state import State
from zoo.train.usage import Usage

BARS = "▁▂▃▄▅▆▇█"


class Progress:
    """Says what happens, and how far it is."""

    def __init__(self, settings: Train, console: Console | None = None, *, quiet: bool = False):
        self.settings = settings
        self.console = console or Console(highlight=False, soft_wrap=True, quiet=quiet)
        watched = self.console.is_terminal and not quiet
        self.live = Live(console=self.console, auto_refresh=False, transient=True) if watched else None
        self.losses: list[float] = []
        self.speed = self.painted = 0.0
        self.mark_time, self.mark_images = 0.0, 0
        self.usage: Usage | None = None
        self.used: Record = {}

    def __enter__(self) -> Progress:
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.update(Text(""))
            self.live.__exit__(kind, error, trace)

    def say(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False)

    def mark(self, state: State) -> None:
        """Measure speed from here on: call it after anything that is not an update."""
        self.mark_time, self.mark_images = time.perf_counter(), state.images

    def measure(self, state: State) -> Record:
        """Images a second since the mark; the device must have finished."""
        seen, first = state.images - self.mark_images, not self.speed
        self.speed = seen / max(time.perf_counter() - self.mark_time, 1e-9) if seen else self.speed
        if first and seen:
            self.say(f"{self.speed:,.0f} images/s: {duration(self.left(state))} to go, previews and saves apart")
        self.used = self.usage(self.speed) if self.usage else {}
        return {"images": state.images, "images_per_second": round(self.speed, 2), **self.used}

    def left(self, state: State) -> float:
        """Seconds to the last update."""
        return (self.settings.steps - state.step) * state.batch / self.speed if self.speed else math.nan

    def show(self, state: State, record: Record) -> None:
        """A record of metrics."""
        if "loss" in record:
            self.losses = [*self.losses, record["loss"]][-40:]
        if not self.live:
            apart = ("images", "images_per_second", *self.used)
            numbers = "  ".join(f"{k} {v:.5g}" for k, v in record.items() if k not in apart)
            self.say(f"step {state.step:,}/{self.settings.steps:,}  {numbers}  {self._pace(state)}")
        elif "val" in record:
            numbers = "  ".join(f"{k} {v:.4f}" for k, v in record.items() if k.startswith("val"))
            self.say(f"step {state.step:,}  {numbers}")
        self.tick(state, now=True)

    def tick(self, state: State, now: bool = False) -> None:
        """Bring the live line up to date, a few times a second at most."""
        if self.live and (now or time.perf_counter() - self.painted > 0.25):
            self.painted = time.perf_counter()
            self.live.update(self._line(state), refresh=True)

    def _line(self, state: State) -> Text:
        every, settings = self.settings.save_every, self.settings
        save = min(every - state.step % every if every else settings.steps, settings.steps - state.step)
        loss = f"{self.losses[-1]:.4f} " if self.losses else ""
        return Text.assemble(
            (f"{state.step:,}", "bold"), f"/{settings.steps:,}  loss ", (loss, "bold"),
            (sparkline(self.losses), "cyan"), f"  {self._pace(state)}  saves in {save:,}",
        )  # fmt: skip

    def _pace(self, state: State) -> str:
        mfu = f"  MFU {self.used['mfu']:.0%}" if "mfu" in self.used else ""
        memory = f"  {self.used['memory_gib']:.1f} GiB" if "memory_gib" in self.used else ""
        return f"{self.speed:,.0f} images/s{mfu}{memory}  {duration(self.left(state))} left"


def sparkline(values: list[float]) -> str:
    """Values as a row of bars, on a logarithmic scale."""
    logs = [math.log(v) for v in values if v > 0 and math.isfinite(v)]
    if not logs:
        return ""
    low, span = min(logs), max(logs) - min(logs)
    return "".join(BARS[round((v - low) / span * 7) if span else 3] for v in logs)
