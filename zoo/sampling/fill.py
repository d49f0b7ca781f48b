"""Fill a folder with samples: singles, a grid and the record of how they were made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from zoo.errors import ZooError
from zoo.sampling.api import adjusted, pick_device
from zoo.sampling.form import form_of
from zoo.sampling.generate import plan
from zoo.sampling.labels import in_turn, parse_classes
from zoo.sampling.picture import single
from zoo.sampling.record import check_folder, missing, open_folder, record
from zoo.sampling.size import parse_size
from zoo.weights.load import from_pretrained, locate

SHOWN = 256
"""Samples in the grid at most."""


@dataclass(frozen=True)
class Request:
    """What zoo-sample was asked for; texts as the user wrote them."""

    source: str
    images: int
    out: Path
    seed: int = 0
    size: str | None = None
    classes: Sequence[str] | None = None
    batch: int = 64
    device: str = "auto"
    ema: bool = True
    settings: Sequence[str] = ()
    allow_plugins: bool = False
    format: str | None = None
    fps: float | None = None


def fill(asked: Request) -> None:
    """Draw what is missing in the folder, then its grid.

    Raises: ZooError, CheckpointError, RecipeError, ShapeError before anything is written.
    """
    if asked.images < 1:
        raise ZooError(f"-n {asked.images}", fix="ask for at least 1 image")
    size = parse_size(asked.size) if asked.size else None
    path = locate(asked.source, asked.ema)
    backbone = from_pretrained(path, device=pick_device(asked.device), allow_plugins=asked.allow_plugins)
    recipe = adjusted(backbone.recipe, asked.settings)
    classes = None if asked.classes is None else parse_classes(asked.classes, backbone, recipe)
    planned = plan(backbone, recipe, seed=asked.seed, size=size)
    form = form_of(planned.frames, asked.format, asked.fps)
    wanted = record(path, backbone.recipe, recipe, images=asked.images, seed=asked.seed, size=planned.size,
                    classes=classes, form=form.said)  # fmt: skip
    check_folder(asked.out, wanted)
    todo = missing(asked.out, asked.images, planned.size, form)
    with progress(asked.images, asked.images - len(todo)) as (heard, drawn):
        labels = None if classes is None else in_turn(classes, todo)
        images = planned.draw(todo, labels, asked.batch, heard)
        open_folder(asked.out, wanted)
        for i, sample in images:
            form.save(sample, single(asked.out, i, form.ending))
            drawn()
    shown = [form.read(single(asked.out, i, form.ending)) for i in range(min(asked.images, SHOWN))]
    sheet = form.sheet(shown, asked.out)
    print(f"{asked.images} {form.noun} in {asked.out}, {len(todo)} new; {sheet.name} shows {len(shown)}")


@contextmanager
def progress(total: int, done: int) -> Iterator[tuple[Callable, Callable]]:
    """A bar over images, silent in a pipe: (what hears a sampler's step, what hears of a drawn image)."""
    console = Console(stderr=True)
    columns = (TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total, completed=done)

        def heard(i: int, n: int, x: Tensor) -> None:
            bar.update(task, completed=done + len(x) * (i + 1) / (n + 1))

        def drawn() -> None:
            nonlocal done
            done += 1
            bar.update(task, completed=max(done, bar.tasks[0].completed))

        yield heard, drawn
