"""What training expects from a part of the shelf `logger`."""

from __future__ import annotations

from typing import Protocol

Record = dict[str, float]


class Logger(Protocol):
    """Takes metrics. Given: the run folder, and the step that the run continues from (0: a new run).

    A run that continues has forgotten what came after its checkpoint; so must its logs: they drop records
    of later steps when they are opened.
    """

    def log(self, step: int, record: Record) -> None: ...
    def close(self) -> None: ...
