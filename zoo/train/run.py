"""A run folder: who may work in it, what it already holds, and what is written into it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

from zoo.errors import CheckpointError, RecipeError, ZooError
from zoo.loggers.jsonl import read_records
from zoo.loggers.protocol import Logger, Record
from zoo.recipe import Recipe, load_recipe
from zoo.train import checkpoint
from zoo.train.lock import Lock
from zoo.train.ranks import Ranks
from zoo.train.settings import FREE, Train
from zoo.train.state import State

Say = Callable[[str], None]


class Run:
    """A run folder, locked while it is open; the first process alone writes into it.

    Raises: ZooError on entry if another trainer works here, or if what is here is another run.
    """

    def __init__(self, folder: Path, recipe: Recipe, settings: Train, ranks: Ranks, *, resume: bool = False):
        self.folder, self.recipe, self.settings, self.ranks, self.resume = folder, recipe, settings, ranks, resume
        self.checkpoints, self.samples = folder / "checkpoints", folder / "samples"
        self.history: list[Record] = []
        self.loggers: list[Logger] = []
        self.unsaved: OSError | None = None
        self.brought_back = ""
        self.classes: dict[str, list[str]] = {}  # names that go with the weights

    def __enter__(self) -> Run:
        self.ranks.on_first(self._open)
        return self

    def _open(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.lock = Lock(self.folder).__enter__()
        except OSError as error:
            raise ZooError(f"this cannot be a run folder: {error.strerror}", where=str(self.folder),
                           fix="give another one with --out") from error
        try:
            self._admit()
            checkpoint.sweep(self.checkpoints)
        except BaseException:
            self._leave()
            raise

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for logger in self.loggers:
            logger.close()
        if self.ranks.first:
            self._leave()

    def _leave(self) -> None:
        """Free the folder; one in which nothing was begun goes."""
        self.lock.__exit__()
        with suppress(OSError):  # it holds something
            self.folder.rmdir()

    def restore(self, state: State, say: Say) -> None:
        """Bring `state` to the newest valid checkpoint, else to the weights that it begins with; and open the logs.

        Raises: CheckpointError if there are checkpoints and none is usable, or no weights to begin with.
        """
        name, manifest, refused = self.ranks.on_first(self._newest)
        for reason in refused:
            say(f"passed over: {reason}")
        if name:
            folder = self.checkpoints / name
            state.load(folder, manifest["step"], manifest["scalars"])
            say(f"continues from {folder}, {state.images:,} images seen")
        elif self.resume:
            say("nothing to resume: starts at step 0")
        if not name and (source := self.settings.init_from):
            for line in state.begin_from(source, self.recipe, self.settings.seed):
                say(f"from {source}: {line}")
        self.ranks.on_first(self._begin)
        self.open_logs(state.step)

    def _begin(self) -> None:
        """The first that is written: nothing is, of a run whose data, model or weights are not there."""
        self.samples.mkdir(exist_ok=True)
        for torn in [*self.folder.glob(".*.tmp"), *self.samples.glob(".*.tmp")]:
            torn.unlink()  # pictures that a killed run was writing
        (self.folder / "recipe.yaml").write_text(self.recipe.to_yaml(), encoding="utf-8")

    def roll_back(self, state: State, say: Say, reason: str) -> bool:
        """Weights, averages and optimizer of the newest checkpoint; the clock goes on, so that other images come.

        False if there is none, or if it was brought back already and did not help.
        """
        name, manifest, _ = self.ranks.on_first(lambda: self._newest(always=True))
        if not name or name == self.brought_back:
            return False
        self.brought_back = name
        say(f"{reason}; goes back to the weights of {self.checkpoints / name}")
        state.load(self.checkpoints / name, state.step, manifest["scalars"])
        state.meter.read()
        return True

    def _newest(self, always: bool = False) -> tuple[str, dict, list[str]]:
        """Name and manifest of the newest valid checkpoint, and why others were refused."""
        wanted = self.resume or always
        folder, manifest, refused = checkpoint.newest(self.checkpoints) if wanted else (None, {}, [])
        return folder.name if folder else "", manifest, refused

    def open_logs(self, start: int) -> None:
        """The loggers of the recipe, and the history for the curve, without what came after `start`."""
        if not self.ranks.first:
            return
        past = read_records(self.folder / "metrics.jsonl") if start else []
        self.history = [record for record in past if record["step"] <= start]
        self.loggers = [make(self.folder, start) for make in self.settings.loggers]

    def log(self, step: int, record: Record) -> None:
        """Hand a record to the history and to every logger."""
        self.history.append({"step": step, **record})
        for logger in self.loggers:
            logger.log(step, record)

    def save(self, state: State, say: Say) -> None:
        """A checkpoint, and the oldest ones go; when the disk refuses, training goes on and tells at its end.

        Weights that are spread over processes are written by all of them, others by the first one.
        """
        writers = self.ranks if state.parallel.sharded else checkpoint.ALONE
        if not (self.ranks.first or state.parallel.sharded):
            return
        try:
            place = checkpoint.save(self.checkpoints, self.recipe, state.step, state.images, state.files(),
                                    state.scalars(), self._measured(state.step), self.classes, writers)  # fmt: skip
            writers.on_first(partial(checkpoint.prune, self.checkpoints, self.settings.keep,
                                     best=self.settings.keep_best))  # fmt: skip
        except OSError as error:
            self.unsaved = error
            free = shutil.disk_usage(self.folder).free / 2**20
            say(f"NOT SAVED at step {state.step}: {error}; {free:.0f} MiB are free. Older checkpoints are intact")
        else:
            self.unsaved = None
            say(f"saved {place}")

    def _measured(self, step: int) -> float | None:
        """The loss on held-out images at a step, of the first average if there is one."""
        here = {k: v for record in self.history if record["step"] == step for k, v in record.items()}
        return here.get("val_ema", here.get("val"))

    def check_saved(self) -> None:
        """Raises: CheckpointError if the last save failed."""
        if self.unsaved:
            raise CheckpointError(f"the last checkpoint could not be written: {self.unsaved}",
                                  where=str(self.checkpoints), fix="make room, then continue with --resume")

    def _admit(self) -> None:
        """Refuse a folder that holds another run, or this one without `resume`."""
        saved = checkpoint.steps(self.checkpoints)
        again = f"zoo-train {self.folder / 'recipe.yaml'} --out {self.folder} --resume"
        other = f"give another folder with --out, for instance {self.folder}-2"
        if saved and not self.resume:
            raise ZooError(f"this folder holds a run, {saved[0].name} is saved", where=str(self.folder),
                           fix=f"continue it with `{again}`, or {other}")
        if not (self.folder / "recipe.yaml").exists():
            return
        changed = changes(load_recipe(self.folder / "recipe.yaml"), self.recipe)
        if changed:
            listed = "; ".join(changed[:8]) + (f"; {len(changed) - 8} more" if len(changed) > 8 else "")
            what = f"this folder holds a run of another recipe ({listed})"
            raise RecipeError(what, where=str(self.folder), fix=other)


def changes(old: Recipe, new: Recipe) -> list[str]:
    """Where `new` would train other weights than `old`: "key: old -> new"."""
    free = [key for key in FREE if key != "train.steps" or new.get("train.schedule") != "cosine"]
    found = [d for d in old.diff(new) if not any(d[0] == key or d[0].startswith(f"{key}.") for key in free)]
    return [f"{key}: {was} -> {now}" for key, was, now in found]
