from __future__ import annotations

import json
import os
from pathlib import Path

from zoo.loggers.protocol import Record
from zoo.registry import register


@register("logger", "jsonl")
class JsonLines:
    """`metrics.jsonl`: one JSON object a record, for programs."""

    def __init__(self, folder: Path, start: int, *, file: str = "metrics.jsonl"):
        self.path = folder / file
        kept = [json.dumps(r) + "\n" for r in read_records(self.path) if r["step"] <= start] if start else []
        self.path.write_text("".join(kept), encoding="utf-8")
        self.file = self.path.open("a", encoding="utf-8")

    def log(self, step: int, record: Record) -> None:
        """One line, on its way to the disk at once."""
        self.file.write(json.dumps({"step": step, **record}) + "\n")
        self.file.flush()

    def close(self) -> None:
        os.fsync(self.file.fileno())
        self.file.close()


def read_records(path: Path) -> list[dict]:
    """The records of a file; a last line that a crash cut short is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
