"""What zoo-ablate does: rows from the command line, the plan, the work, the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from zoo.ablate.changes import Change, combinations, drop, sweep, table, variant
from zoo.ablate.launch import devices_of, run_all
from zoo.ablate.match import matched
from zoo.ablate.picture import draw_samples, draw_study
from zoo.ablate.plan import costs
from zoo.ablate.report import Report, giga, write
from zoo.ablate.rows import counted, prepared, rows_of
from zoo.ablate.scores import ready
from zoo.ablate.study import Study
from zoo.ablate.task import run_task
from zoo.cli.table import Table, show
from zoo.errors import ZooError
from zoo.recipe import Recipe, load_recipe
from zoo.train.lock import Lock
from zoo.train.progress import duration

LONG = 30 * 86400
"""Seconds from which on a plan says how to shorten it."""


def study_of(args: argparse.Namespace, command: str = "") -> tuple[Study, list[str]]:
    """The study that was asked for, checked and counted, and why parts of a shelf were left out.

    Raises: ZooError for a mistake in any row.
    """
    for name, least in (("seeds", 1), ("count", 2), ("draws", 1), ("shown", 1), ("max_images", 0)):
        if getattr(args, name) < least:
            raise ZooError(f"{getattr(args, name)} is too small", where=f"--{name.replace('_', '-')}",
                           allowed=f"{least} or more")  # fmt: skip
    base = prepared(load_recipe(args.recipe, args.settings), args.max_images)
    changes, figures = changes_of(base, args)
    rows, left_out = counted(rows_of(base, changes, figures), forgiving=bool(args.sweep))
    if args.match_params:
        rows = matched(rows)
    metrics = [] if args.metrics == "none" else args.metrics.split(",")
    protocol = {"metrics": metrics, "extractor": args.extractor, "count": args.count, "reference": args.reference,
                "draws": args.draws} if metrics else {"metrics": []}  # fmt: skip
    scales = args.scale or ([2] if args.table == "6" else [])
    folder = args.out or Path("runs") / f"ablate-{base.name}"
    return Study(folder, rows, args.seeds, protocol, args.shown, sorted({1, *scales}), command), left_out


def changes_of(base: Recipe, args: argparse.Namespace) -> tuple[list[Change], dict[str, float]]:
    """The rows besides the full recipe, and the published figures of a table.

    Raises: RecipeError if no row is asked for, or for an unknown name.
    """
    rows, figures = table(base, args.table) if args.table else ([], {})
    changes = [*rows, *(drop(base, names) for names in args.drop), *(variant(base, words) for words in args.set),
               *(change for shelf in args.sweep for change in sweep(base, shelf))]  # fmt: skip
    if not changes:
        raise ZooError("no row to compare with", where="zoo-ablate",
                       fix="add --drop NAME, --set key=value, --table 4 or --sweep SHELF; --help has examples")
    return (combinations(changes) if args.grid else changes), figures


def introduce(study: Study, left_out: Sequence[str]) -> None:
    """What every row changes, before anything is trained."""
    recipe, train = study.base.recipe, study.base.recipe["train"]
    print(f"{recipe['title'] or recipe.name}: {train['steps']:,} updates of {train['batch']} images a row, "
          f"{study.seeds} seed(s) from {train['seed']}, in {study.folder}")
    for row in study.rows:
        lines = [*row.against(recipe), *([row.note] if row.note else [])]
        print(f"  {row.label}: " + (f"\n{' ' * (len(row.label) + 4)}".join(lines) or "the recipe as it is"))
    for reason in left_out:
        print(f"  left out: {reason}")
    tasks, pending = study.tasks(), study.pending()
    print(f"{len(study.rows) * study.seeds} results from {len(tasks)} trained models; "
          f"{len(tasks) - len(pending)} models are finished")


def show_plan(study: Study, device: str) -> None:
    """Sizes, and what time and memory they will take."""
    devices, todo = devices_of(device), study.pending()
    found = costs(study, devices[0])
    lines = []
    for row in study.rows:
        cost = found[row.label]
        lines.append([row.label, row.counts["parameters"], giga(row.counts["macs"]), duration(cost.training),
                      duration(cost.measuring), f"{cost.states / 2**30:.2f} GiB",
                      f"{cost.activations / 2**30:.2f} GiB"])  # fmt: skip
    show([Table("plan", "one seed of each row, estimated", ["row", "parameters", "multiply-adds", "training",
                "measuring", "weights and states", "activations"], lines)])  # fmt: skip
    left = sum(found[task["rows"][0]["label"]].training for task in todo)
    left += sum(found[row["label"]].measuring for task in todo for row in task["rows"])
    seconds = left / len(devices)
    advice = ": use a GPU, or fewer with --max-images and --count" if seconds > LONG else ""
    print(f"about {duration(seconds)} to go on {', '.join(devices)}{advice}; activations are those of a whole "
          "batch without recomputation; batches are split when memory runs out")


def run(study: Study, device: str) -> int:
    """Train, measure and report; 1 if a row failed.

    Raises: ZooError if another zoo-ablate works in this folder, or metrics cannot be computed.
    """
    devices, pending = devices_of(device), study.pending()
    if pending:
        ready(study.protocol, study.base.recipe, devices[0])  # better now than after the training
    study.folder.mkdir(parents=True, exist_ok=True)
    with Lock(study.folder):
        failures = run_all(study.folder, pending, devices, lambda text: print(text, flush=True))
    report = Report.of(study, failures)
    if report.rows:
        finish(report)
    return int(bool(failures))


def finish(report: Report) -> None:
    """Write everything and show the table."""
    folder = write(report)
    draw_study(report, folder / "study.png")
    for scale in report.study.scales:
        draw_samples(report, scale, folder / f"samples{'' if scale == 1 else f'-{scale}x'}.png")
    show([Table("rows", f"\n{report.study.base.recipe['title'] or report.study.base.recipe.name}", report.columns(),
                report.cells())])  # fmt: skip
    print(*(f"  {note}" for note in report.notes()), f"everything is in {folder}", sep="\n")


def work(file: Path, device: str) -> int:
    """One task of a study, in a process of its own."""
    run_task(file.parent.parent, json.loads(file.read_text(encoding="utf-8")), device)
    return 0

