"""The first screen of a run: what is trained, on what, and with which kernels."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import torch

from zoo import ops
from zoo.builder import summary
from zoo.data.protocols import Dataset
from zoo.errors import DataError
from zoo.recipe import Recipe
from zoo.train.graphed import WARM, obstacle
from zoo.train.ranks import Ranks
from zoo.train.settings import Train

Datasets = tuple[Dataset, Dataset]


def report(recipe: Recipe, settings: Train, ranks: Ranks, data: Datasets | DataError) -> Iterator[str]:
    """Lines of a table; everything here can be known before the first step. A rehearsal may lack the data."""
    sets, device = None if isinstance(data, DataError) else data, ranks.device
    many = f"{ranks.size} x " if ranks.size > 1 else ""
    shared = f", {settings.parallel}" if ranks.size > 1 else ""
    recomputed = f", {settings.recompute} recomputed" if settings.recompute != "none" else ""
    rows = {
        "recipe": _recipe(recipe),
        "model": _model(recipe),
        "device": f"{many}{_device(device)}, {settings.precision}{shared}"
                  + (", compiled" if settings.compile else "") + recomputed,
        "kernels": ", ".join(_kernels(device)),
        "launches": _launches(obstacle(settings, ranks)),
        "data": _data(recipe["data"], *sets) if sets else f"not here yet: {data}",
        "training": _training(settings, sets and sets[0]),
        "optimizer": f"{_optimizer(recipe['train']['optimizer'])}, {settings.schedule}, warm-up {settings.warmup}",
    }
    return (f"{name:<10} {text}" for name, text in rows.items())


def _recipe(recipe: Recipe) -> str:
    return ", ".join([recipe.get("title", "") or recipe.name, f"hash {recipe.hash}", str(recipe.path or "no file")])


def _model(recipe: Recipe) -> str:
    counted, shape = summary(recipe), "x".join(map(str, recipe["shape"]))
    million, giga = (counted["parameters"] or 0) / 1e6, (counted["macs"] or 0) / 1e9
    return f"{million:,.2f} M parameters, {giga:,.3g} G multiply-adds an image of {shape}"


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"
    return f"{device.type}, {platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"


def _kernels(device: torch.device) -> Iterator[str]:
    """The backend of each operator; for the slow reference, why no other one can do it."""
    rows = ops.report(device)
    for row in (r for r in rows if r.status == "chosen"):
        refusals = [f"{r.backend}: {r.reason}" for r in rows if r.op == row.op and r.status == "unavailable"]
        yield f"{row.op} {row.backend}" + (f", slow ({'; '.join(refusals)})" if row.backend == "naive" else "")


def _launches(obstacle: str) -> str:
    if obstacle:
        return f"one kernel after the other: {obstacle}"
    return f"forward and backward as a CUDA graph after {WARM} updates, if that is possible"


def _optimizer(node: dict[str, Any]) -> str:
    return ", ".join([node["use"], *(f"{name} {value}" for name, value in node.items() if name != "use")])


def _data(node: dict[str, Any], train: Dataset, val: Dataset) -> str:
    labels = [f"{len(names):,} classes of {label}" for label, names in train.classes.items()]
    counts = f"{len(train):,} images to train on, {len(val):,} held out"
    return ", ".join([node["use"], counts, *(labels or ["no labels"])])


def _training(settings: Train, train: Dataset | None) -> str:
    images = settings.steps * settings.batch
    parts = f"{settings.micro_batch} at a time" if settings.micro_batch else "all at a time, fewer if memory runs out"
    often = f", each about {images / max(len(train), 1):,.1f} times" if train is not None else ""
    return f"{settings.steps:,} updates of {settings.batch} images, {parts}; {images:,} in all{often}"
