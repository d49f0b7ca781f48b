"""Requests to stop: Ctrl-C, the batch system's SIGTERM, a time limit. They set a flag and nothing else."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}  # the last one is SLURM's


class Stop:
    """True once somebody asked to stop; a second signal ends the process at once, with 128 + its number.

    Args:
        agreed: whether any process of the run was asked, from whether this one was. It makes bool(stop) a
            question that all processes must ask together, as often as each other.
    """

    def __init__(self, max_minutes: float = 0.0, agreed: Callable[[bool], bool] = bool):
        self.deadline = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
        self.max_minutes, self.agreed, self.signal, self._before = max_minutes, agreed, "", {}
        self._settled = False

    def __bool__(self) -> bool:
        self._settled = self._settled or self.agreed(bool(self._own_reason()))
        return self._settled

    @property
    def reason(self) -> str:
        """Why, or an empty text."""
        return self._own_reason() or ("another process" if self._settled else "")

    def _own_reason(self) -> str:
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
