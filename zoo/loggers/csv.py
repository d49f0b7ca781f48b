from __future__ import annotations

import csv
from pathlib import Path

from zoo.loggers.protocol import Record
from zoo.registry import register


@register("logger", "csv")
class Csv:
    """`metrics.csv`: one row a record, for spreadsheets; a new kind of number becomes a new column."""

    def __init__(self, folder: Path, start: int, *, file: str = "metrics.csv"):
        self.path, self.columns, rows = folder / file, ["step"], []
        if start and self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as text:
                reader = csv.DictReader(text)
                rows = [row for row in reader if (row["step"] or "").isdigit() and int(row["step"]) <= start]
                self.columns = list(reader.fieldnames or self.columns)
        self._rewrite(rows)

    def log(self, step: int, record: Record) -> None:
        """One row; the file is written anew if a column is new."""
        if new := [name for name in record if name not in self.columns]:
            with self.path.open(newline="", encoding="utf-8") as text:
                rows = list(csv.DictReader(text))
            self.columns += new
            self._rewrite(rows)
        self._append([{"step": step, **record}])

    def close(self) -> None:
        """Nothing is open between records."""

    def _rewrite(self, rows: list[dict]) -> None:
        self.path.write_text(",".join(self.columns) + "\n", encoding="utf-8")
        self._append(rows)

    def _append(self, rows: list[dict]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as text:
            csv.DictWriter(text, self.columns, restval="", extrasaction="ignore", lineterminator="\n").writerows(rows)
