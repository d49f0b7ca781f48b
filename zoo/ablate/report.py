"""The table of a study: for a terminal, as Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.ablate.rows import Row
from zoo.ablate.spread import Figure
from zoo.ablate.study import VAL, Study, figures_of

ALIKE = "≈"
NOT_THE_PROTOCOL = ("The published column is the paper's own: FID of 50,000 samples by Inception features, of a model "
                    "trained far longer. It is not the same protocol; compare the order of rows, never the numbers.")


@dataclass(frozen=True)
class Report:
    """What a study found; `rows` are those that are finished."""

    study: Study
    rows: Sequence[Row]
    figures: Mapping[str, Mapping[str, Figure]]
    problems: Sequence[str] = field(default_factory=tuple)

    @classmethod
    def of(cls, study: Study, problems: Sequence[str] = ()) -> Report:
        """The report of what is finished by now."""
        rows = study.finished()
        return cls(study, rows, figures_of(study, rows) if rows else {}, problems)

    @property
    def metrics(self) -> list[str]:
        """The columns of figures: the loss, then the metrics."""
        return list(dict.fromkeys(name for figures in self.figures.values() for name in figures))

    def columns(self) -> list[str]:
        """The head of the table."""
        measured = [text for name in self.metrics for text in (title(name), "difference")]
        known = ["published"] if any(row.published is not None for row in self.rows) else []
        return ["row", "changed", "parameters", "multiply-adds", *measured, *known]

    def cells(self) -> list[list[str]]:
        """The body of the table, as text."""
        return [self._line(row) for row in self.rows]

    def _line(self, row: Row) -> list[str]:
        found = self.figures[row.label]
        measured = [text for name in self.metrics for text in (mean(found.get(name)), difference(found.get(name)))]
        known = ["" if row.published is None else f"{row.published:g}"] if "published" in self.columns() else []
        changed = "; ".join([*row.against(self.study.base.recipe)[:3], *([row.note] if row.note else [])])
        return [row.label, changed, f"{row.counts['parameters']:,}", giga(row.counts["macs"]), *measured, *known]

    def notes(self) -> list[str]:
        """What a reader must know to read the table."""
        train, study = self.study.base.recipe["train"], self.study
        told = [
            f"Every row saw {train['steps'] * train['batch']:,} images ({train['steps']:,} updates of "
            f"{train['batch']}), {_count(study.seeds, 'training seed')}; rows share seeds, order of data, noise and "
            "times, so differences are paired.",
            f"± is half the 95 % interval. {ALIKE} marks a difference that is smaller than its own: it is noise.",
        ]
        if study.seeds == 1:
            told.append("With one training seed, ± covers the evaluation only; another seed may differ by more. "
                        "Give --seeds 3 before believing a small difference.")
        if VAL in self.metrics:
            images = f"{len(study.results(self.rows[0])[0][VAL]):,}"
            told.append(f"val loss: mean over {images} held-out images, the same noise for every row.")
        if protocol := study.protocol["metrics"] and study.protocol:
            told.append(f"{', '.join(protocol['metrics'])}: {protocol['count']:,} samples, {protocol['extractor']}, "
                        f"{_count(protocol['draws'], 'draw')} of noise.")
        if any(row.published is not None for row in self.rows):
            told.append(NOT_THE_PROTOCOL)
        return [*told, *(f"Not finished: {problem}" for problem in self.problems)]

    def markdown(self) -> str:
        """Table and notes."""
        lines = [self.columns(), ["---", "---", *["--:"] * (len(self.columns()) - 2)], *self.cells()]
        table = "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        return f"{table}\n\n" + "\n".join(f"- {note}" for note in self.notes()) + "\n"

    def csv(self) -> str:
        """A line a row and metric, numbers in full."""
        sheet = io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(["row", "parameters", "multiply_adds", "metric", *Figure.__annotations__, "within_noise",
                         "published"])  # fmt: skip
        for row in self.rows:
            for name, figure in self.figures[row.label].items():
                writer.writerow([row.label, row.counts["parameters"], row.counts["macs"], name,
                                 *asdict(figure).values(), figure.within_noise, row.published])  # fmt: skip
        return sheet.getvalue()

    def json(self) -> dict[str, Any]:
        """Everything but the losses of single images."""
        study, train = self.study, self.study.base.recipe["train"]
        return {
            "kind": "ablation", "command": study.command,
            "recipe": study.base.recipe.name, "title": study.base.recipe["title"],
            "hash": study.base.recipe.hash, "images": train["steps"] * train["batch"], "seeds": study.seeds,
            "protocol": dict(study.protocol), "rows": [self._record(row) for row in self.rows],
            "notes": self.notes(),
        }  # fmt: skip

    def _record(self, row: Row) -> dict[str, Any]:
        results = self.study.results(row)
        figures = {name: {**asdict(f), "within_noise": f.within_noise} for name, f in self.figures[row.label].items()}
        return {
            "row": row.label, "changed": row.against(self.study.base.recipe), "note": row.note,
            "hash": row.recipe.hash, **row.counts, "published": row.published, "figures": figures,
            "curves": [result["curve"] for result in results], "measured_by": results[0]["measured_by"],
            "images_per_second": [result["images_per_second"] for result in results],
            "device": results[0]["device"],
        }  # fmt: skip


def write(report: Report) -> Path:
    """`results.json`, `table.md`, `table.csv` in the folder of the study, which is returned."""
    folder = report.study.folder
    texts = {"results.json": json.dumps(report.json(), indent=1) + "\n", "table.md": report.markdown(),
             "table.csv": report.csv()}  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def title(metric: str) -> str:
    """The name of a column."""
    return "val loss" if metric == VAL else metric


def mean(figure: Figure | None) -> str:
    """"0.1234 ± 0.0021"."""
    if figure is None:
        return ""
    spread = "" if figure.spread is None else f" ± {figure.spread:.2g}"
    return f"{figure.mean:.4g}{spread}"


def difference(figure: Figure | None) -> str:
    """"+0.012 ± 0.003", with a mark if it is noise; "=" for the same model."""
    if figure is None or figure.difference is None:
        return ""
    if figure.difference == figure.doubt == 0:
        return "="
    doubt = "" if figure.doubt is None else f" ± {figure.doubt:.2g}"
    return f"{ALIKE + ' ' if figure.within_noise else ''}{figure.difference:+.3g}{doubt}"


def giga(macs: int | None) -> str:
    """Multiply-adds in 10^9."""
    return "" if macs is None else f"{macs / 1e9:,.4g} G"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
