"""Draw samples into a folder or an npz file: what is missing there, then pictures of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.recipe import Recipe
from zoo.sampling.api import adjusted, pick_device, pick_precision
from zoo.sampling.form import Form, form_of
from zoo.sampling.generate import Plan, plan
from zoo.sampling.labels import class_names, in_turn, labels_for, parse_classes
from zoo.sampling.progress import Progress
from zoo.sampling.record import record
from zoo.sampling.size import parse_size
from zoo.sampling.target import Target, target
from zoo.sampling.work import Shard, rank_device
from zoo.weights.load import from_pretrained, locate

SHOWN = 256
"""Samples in a grid at most."""


@dataclass(frozen=True)
class Request:
    """What zoo-sample was asked for; texts as the user wrote them."""

    source: str
    images: int
    out: Path
    seed: int = 0
    size: str | None = None
    classes: Sequence[str] | None = None
    class_grids: bool = False
    preset: str | None = None
    settings: Sequence[str] = ()
    batch: int = 64
    device: str = "auto"
    precision: str = "auto"
    ema: bool = True
    allow_plugins: bool = False
    shard: Shard = field(default_factory=Shard)
    format: str | None = None
    fps: float | None = None


class Job(NamedTuple):
    """A request that has been checked against the weights."""

    planned: Plan
    form: Form
    record: dict[str, Any]
    labels: dict[str, Tensor]
    grids: dict[str, Sequence[int]]


def fill(asked: Request) -> str:
    """Draw what is missing of this process's share; whoever completes the samples draws their pictures.

    Raises: ZooError, CheckpointError, RecipeError, ShapeError before anything is written.
    """
    job = prepare(asked)
    into = target(asked.out, job.form)
    into.check(job.record)
    missing = into.missing(asked.images, job.planned.size)
    blocks = asked.shard.blocks(asked.images, asked.batch, missing)
    todo = [i for block in blocks for i in block]
    labels = {name: values[todo] for name, values in job.labels.items()}
    alone = asked.shard.count == 1
    total, before = (asked.images, asked.images - max(len(missing), len(todo))) if alone else (len(todo), 0)
    with Progress(total, before) as progress:
        images = job.planned.draw(todo, labels or None, asked.batch, progress.step)
        into.open(job.record)
        for block in blocks:
            into.save(list(islice(images, len(block))))
            progress.drawn(len(block))
    if left := 0 if alone else len(into.missing(asked.images, job.planned.size)):
        return f"{len(todo)} {job.form.noun} of shard {asked.shard} in {asked.out}; {left} of others are not there yet"
    finish(asked, job, into)
    shown = f"{into.picture('grid').name} shows {min(asked.images, SHOWN)}"
    return f"{asked.images} {job.form.noun} in {asked.out}, {len({*todo} & {*missing})} new; {shown}"


def prepare(asked: Request) -> Job:
    """Load the weights and find every mistake that can be found before the first image."""
    if asked.images < 1:
        raise ZooError(f"-n {asked.images}", fix="ask for at least 1 image")
    size = parse_size(asked.size) if asked.size else None
    path, device = locate(asked.source, asked.ema), pick_device(rank_device(asked.device))
    backbone = from_pretrained(path, device=device, allow_plugins=asked.allow_plugins)
    recipe = adjusted(backbone.recipe, asked.settings, asked.preset)
    classes = None if asked.classes is None else parse_classes(asked.classes, backbone, recipe)
    precision = pick_precision(asked.precision, device, recipe)
    planned = plan(backbone, recipe, seed=asked.seed, size=size, precision=precision)
    form = form_of(planned.frames, asked.format, asked.fps)
    wanted = record(path, backbone.recipe, recipe, images=asked.images, seed=asked.seed, size=planned.size,
                    classes=classes, precision=precision, form=form.said)  # fmt: skip
    every = range(asked.images)
    labels = labels_for(backbone, recipe, every, in_turn(classes, every) if classes else None) or {}
    grids = {"grid": every, **(by_class(labels, backbone, recipe) if asked.class_grids else {})}
    return Job(planned, form, wanted, labels, grids)


def finish(asked: Request, job: Job, into: Target) -> None:
    """What is drawn from all samples together."""
    into.finish(asked.images, job.labels)
    for name, members in job.grids.items():
        job.form.sheet(into.read(members[:SHOWN]), into.picture(name))


def by_class(labels: Mapping[str, Tensor], backbone: nn.Module, recipe: Recipe) -> Mapping[str, Sequence[int]]:
    """The images of each class, or of each combination of classes, under a name for a picture."""
    if not labels:
        raise ZooError("this model has no classes", where="--class-grids", fix="leave it out: grid.png shows all")
    names = {label: class_names(backbone, recipe, label) for label in labels}
    found: dict[str, list[int]] = {}
    for i, row in enumerate(zip(*(values.tolist() for values in labels.values()))):
        called = [names[label][k] if k < len(names[label]) else f"{label}{k}" for label, k in zip(labels, row)]
        found.setdefault("-".join(["grid", *map(_plain, called)]), []).append(i)
    return found


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name)
