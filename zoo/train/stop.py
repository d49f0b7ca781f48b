"""Requests to stop: Ctrl-C, the batch system's SIGTERM, a time limit. They set a flag and nothing else."""

from __future__ import annotations

import signal
import threading
import time

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stop:
    """True once somebody asked to stop; a second signal ends the process at once, with 130 or 143."""

    def __init__(self, max_minutes: float = 0.0):
        self.deadline = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
        self.max_minutes, self.signal, self._before = max_minutes, "", {}

    def __bool__(self) -> bool:
        return bool(self.reason)

    @property
    def reason(self) -> str:
        """Why, or an empty text."""
        if self.signal:
            return self.signal
        return f"the time limit of {self.max_minutes:g} minutes" if time.monotonic() >= self.deadline else ""

    def __enter__(self) -> Stop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in SIGNALS}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: object) -> None:
        if self.signal:
            raise SystemExit(128 + number)
        self.signal = SIGNALS[signal.Signals(number)]
