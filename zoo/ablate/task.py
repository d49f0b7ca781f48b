"""One piece of work: train one set of weights as far as it goes, then score the rows that share it.

    STUDY/tasks/KEY.json    what to do          STUDY/runs/LABEL-sK-KEY/   the run folder
    STUDY/results/KEY.json  a finished row      STUDY/samples/KEY-2x.png   its samples
"""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError, ZooError
from zoo.loggers.jsonl import read_records
from zoo.recipe import Recipe
from zoo.sampling.api import pick_device
from zoo.sampling.generate import plan
from zoo.sampling.picture import grid, save_picture
from zoo.train import checkpoint
from zoo.train.loop import train
from zoo.weights.load import from_pretrained

COLUMNS = 8


class Unfinished(KeyboardInterrupt):
    """A row was asked to stop; the same command goes on with it."""


def run_task(study: Path, task: dict[str, Any], device: str) -> None:
    """Do what is not done yet; every finished row is on disk before the next begins.

    Raises: Unfinished if training was stopped; ZooError if it failed.
    """
    recipes = [Recipe.from_text(row["recipe"], row["label"], allow_plugins=True) for row in task["rows"]]
    run = study / "runs" / task["folder"]
    complete(recipes[0], run, device)
    failures = []
    for row, recipe in zip(task["rows"], recipes):
        try:
            _look(study, run, task, row, recipe, device)
        except ZooError as error:
            failures.append(f"{row['label']}: {error}")
    if failures:
        raise ZooError("; ".join(failures))


def _look(study: Path, run: Path, task: dict[str, Any], row: dict[str, Any], recipe: Recipe, device: str) -> None:
    """Draw and score what is missing of a row."""
    for scale in row["scales"]:
        if not (path := sample_file(study, row["score"], scale)).exists():
            draw_samples(run, recipe, path, scale, task["shown"], device)
    path = study / "results" / f"{row['score']}.json"
    if not path.exists():
        write_json(path, {"label": row["label"], "seed": row["seed"], **result(run, recipe, task, device)})


def complete(recipe: Recipe, run: Path, device: str) -> None:
    """Train up to the recipe's last step, from wherever the run stands."""
    if steps_done(run) >= recipe.get("train.steps"):
        return
    print(f"== {recipe.name}: {run}", flush=True)
    said = train(recipe, run, resume=True, device=device)
    if steps_done(run) < recipe.get("train.steps"):
        raise Unfinished(said)


def steps_done(run: Path) -> int:
    """The step of the newest valid checkpoint, 0 if there is none."""
    try:
        return checkpoint.newest(run / "checkpoints")[1].get("step", 0)
    except CheckpointError:
        return 0


def result(run: Path, recipe: Recipe, task: dict[str, Any], device: str) -> dict[str, Any]:
    """Everything measured about one row and seed, as JSON can hold it."""
    from zoo.ablate.scores import held_out_losses, measured

    start = time.perf_counter()
    backbone = from_pretrained(run, device=pick_device(device), allow_plugins=True)
    losses = held_out_losses(recipe, backbone, next(backbone.parameters()).device)
    metrics, how = measured(run, recipe, task["protocol"], device)
    records, batch = read_records(run / "metrics.jsonl"), recipe.get("train.batch")
    speeds = [r["images_per_second"] for r in records if r.get("images_per_second")]
    last = "val_ema" if any("val_ema" in r for r in records) else "val"
    return {
        "recipe": recipe.hash, "run": run.name, "images": recipe.get("train.steps") * batch,
        "val": losses, "metrics": metrics, "measured_by": how,
        "curve": [[r["step"] * batch, r[last]] for r in records if last in r],
        "images_per_second": statistics.median(speeds) if speeds else None,
        "seconds_to_score": round(time.perf_counter() - start, 1), "device": str(pick_device(device)),
    }  # fmt: skip


def draw_samples(run: Path, recipe: Recipe, path: Path, scale: int, shown: int, device: str) -> None:
    """The first images of a row, from the noise that every row starts from, as one grid."""
    backbone = from_pretrained(run, device=pick_device(device), allow_plugins=True)
    drawing = plan(backbone, recipe)
    if scale > 1:
        height, width = drawing.size
        drawing = plan(backbone, recipe, size=(height * scale, width * scale))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_picture(grid([image for _, image in drawing.draw(range(shown))], columns=COLUMNS), path)


def sample_file(study: Path, score: str, scale: int) -> Path:
    """Where the samples of a result lie."""
    return study / "samples" / f"{score}-{scale}x.png"


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(json.dumps(value), encoding="utf-8")
    os.replace(aside, path)
