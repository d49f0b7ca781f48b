"""A study: rows times training seeds, in a folder that remembers what is finished."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zoo.ablate.launch import Task
from zoo.ablate.rows import Row, score_key, training_key
from zoo.ablate.scores import comparable
from zoo.ablate.spread import Figure, from_draws, from_images
from zoo.ablate.task import sample_file, steps_done

VAL = "val"


@dataclass(frozen=True)
class Study:
    """Rows (the first is the full recipe), seeds, and how they are measured.

    Args:
        protocol: metrics, extractor, count, reference, draws; part of a result's identity.
        shown: samples drawn of each row.
        scales: sizes at which they are drawn, as multiples of the training size.
        command: what was typed, for the record.
    """

    folder: Path
    rows: Sequence[Row]
    seeds: int
    protocol: Mapping[str, Any]
    shown: int = 16
    scales: Sequence[int] = (1,)
    command: str = ""

    @property
    def base(self) -> Row:
        return self.rows[0]

    def tasks(self) -> list[Task]:
        """What there is to do, finished or not: a task for each set of weights, all rows of a seed before the next."""
        found: dict[str, Task] = {}
        for k in range(self.seeds):
            for row in self.rows:
                recipe = row.seeded(k)
                key, score = training_key(recipe), score_key(recipe, self.protocol)
                task = found.setdefault(key, {"key": key, "name": f"{row.label}, seed {k}", "rows": [],
                                              "folder": self._run(row, k, key), "protocol": dict(self.protocol),
                                              "shown": self.shown})  # fmt: skip
                if score not in [other["score"] for other in task["rows"]]:
                    task["rows"].append({"label": row.label, "seed": k, "score": score, "recipe": recipe.to_yaml(),
                                         "scales": list(self.scales) if k == 0 else []})  # fmt: skip
        return list(found.values())

    def pending(self) -> list[Task]:
        """The tasks that are not finished."""
        return [task for task in self.tasks() if any(not self._done(row) for row in task["rows"])]

    def results(self, row: Row) -> list[dict[str, Any]]:
        """What was measured, one a seed; shorter while the row is not finished."""
        paths = [self._result(score_key(row.seeded(k), self.protocol)) for k in range(self.seeds)]
        return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]

    def finished(self) -> list[Row]:
        """The rows with results for every seed."""
        return [row for row in self.rows if len(self.results(row)) == self.seeds]

    def samples(self, row: Row, scale: int) -> Path:
        """Its samples as a picture."""
        return sample_file(self.folder, score_key(row.seeded(0), self.protocol), scale)

    def trained(self, task: Task) -> int:
        """Updates that a task's run has done."""
        return steps_done(self.folder / "runs" / task["folder"])

    def _run(self, row: Row, k: int, key: str) -> str:
        """The run folder, readable; one that an earlier study named otherwise is kept."""
        known = sorted((self.folder / "runs").glob(f"*-{key}"))
        slug = re.sub(r"[^\w.=-]+", "_", row.label).strip("_-") or "row"
        return known[0].name if known else f"{slug[:60]}-s{k}-{key}"

    def _done(self, row: Mapping[str, Any]) -> bool:
        drawn = all(sample_file(self.folder, row["score"], scale).exists() for scale in row["scales"])
        return drawn and self._result(row["score"]).exists()

    def _result(self, score: str) -> Path:
        return self.folder / "results" / f"{score}.json"


def figures_of(study: Study, rows: Sequence[Row]) -> dict[str, dict[str, Figure]]:
    """{row: {"val" or a metric: Figure}}; differences are to the first row, where both measure the same thing."""
    found: dict[str, dict[str, Figure]] = {row.label: {} for row in rows}
    results = {row.label: study.results(row) for row in rows}
    alike = [row for row in rows if comparable(rows[0].recipe, row.recipe)]
    for group in [alike, *([row] for row in rows if row not in alike)]:
        losses = np.array([[r[VAL] for r in results[row.label]] for row in group])
        for row, figure in zip(group, from_images(losses) if losses.shape[2:] > (0,) else []):
            found[row.label][VAL] = figure
    for metric in results[rows[0].label][0]["metrics"]:
        values = np.array([[r["metrics"][metric] for r in results[row.label]] for row in rows])
        for row, figure in zip(rows, from_draws(values)):
            found[row.label][metric] = figure
    return found
