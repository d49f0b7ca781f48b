"""A table for a terminal, for a pipe, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns, a title above; cells are what JSON can hold; programs know it as `key`."""

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def records(self) -> list[dict[str, object]]:
        """The rows as mappings."""
        return [dict(zip(self.columns, row)) for row in self.rows]


def show(tables: Sequence[Table]) -> None:
    """Print for whoever reads: drawn in a terminal, plain aligned text in a pipe."""
    for i, table in enumerate(tables):
        if sys.stdout.isatty():
            _draw(table)
        else:
            print("\n" * bool(i) + plain_text(table))


def show_json(tables: Sequence[Table]) -> None:
    """Print one list of records, or {key: records} if there are several tables."""
    found = {t.key: t.records() for t in tables}
    print(json.dumps(found if len(found) > 1 else next(iter(found.values())), indent=2))


def plain_text(table: Table) -> str:
    """Aligned columns, two spaces between them."""
    lines = [list(table.columns), *([cell_text(c) for c in row] for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    body = ["  ".join(c.ljust(w) for c, w in zip(line, widths)).rstrip() for line in lines]
    return "\n".join([table.title, *(f"  {line}" for line in body)])


def cell_text(cell: object) -> str:
    """Numbers with thin groups, nothing for None."""
    if isinstance(cell, int) and not isinstance(cell, bool):
        return f"{cell:,}"
    return "" if cell is None else str(cell)


def _draw(table: Table) -> None:
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(title=Text(table.title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    numeric = [any(isinstance(row[i], int) for row in table.rows) for i in range(len(table.columns))]
    for name, right in zip(table.columns, numeric):
        drawn.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(Text(cell_text(c)) for c in row))
    Console().print(drawn)
