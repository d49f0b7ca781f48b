"""What a trained row is worth: the loss of every held-out image, and the metrics of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from zoo.builder import section
from zoo.recipe import Recipe
from zoo.recipe.schema import SAMPLED
from zoo.recipe.yaml import inline
from zoo.sampling.api import pick_device
from zoo.sampling.generate import evaluating
from zoo.train.feed import Feed
from zoo.train.ranks import Ranks
from zoo.train.step import Objective
from zoo.train.validate import Validation

NOISE = 0
"""Seed of the noise that held-out images meet; not the training seed, so that rows of all seeds are paired."""
COMPARABLE = ("shape", "process", "loss", "time", "data", "autoencoder", "train.val_images", "train.precision")
"""What two rows must share for their losses to be the same quantity."""


@torch.no_grad()
def held_out_losses(recipe: Recipe, backbone: nn.Module, device: torch.device) -> list[float]:
    """The loss of each held-out image, at noise and times that depend on its number alone.

    Raises: DataError if the images are missing.
    """
    settings = section(recipe, "train")()
    ranks = Ranks(device)
    feed = Feed(recipe, settings, ranks)
    objective = Objective(recipe, backbone, settings.precision)
    validation = Validation(objective, list, NOISE, ranks)
    losses: list[float] = []
    with evaluating(backbone):
        for batch in feed.held_out(settings.micro_batch or settings.batch):
            draw = validation.draw(batch.images, batch.first)
            losses += objective(batch.images, batch.labels, draw).double().tolist()
    return losses


def measured(run: Path, recipe: Recipe, protocol: Mapping[str, Any],
             device: str) -> tuple[dict[str, list[float]], dict[str, Any]]:  # fmt: skip
    """({metric: a value for each draw of noise}, what they were measured by); empty without metrics.

    The noise of a draw is the same for every row, and so are the images that it is compared with.
    Raises: ZooError if the metrics cannot be computed here.
    """
    if not protocol["metrics"]:
        return {}, {}
    from zoo.eval import evaluate

    found, how = {}, {}
    for draw in range(protocol["draws"]):
        print(f"measuring {protocol['count']:,} samples, draw {draw + 1} of {protocol['draws']}", flush=True)
        result = evaluate(str(run), metrics=tuple(protocol["metrics"]), extractor=protocol["extractor"],
                          count=protocol["count"], reference=protocol["reference"], device=device,
                          overrides=drawing(recipe), seed=draw)  # fmt: skip
        for name, value in result.metrics.items():
            found.setdefault(name, []).append(float(value))
        how = how or dict(result.protocol)
    return found, how


def drawing(recipe: Recipe) -> list[str]:
    """How this row draws images, as settings over the recipe inside the weights."""
    return [f"{name}={inline(recipe[name])}" for name in SAMPLED]


def ready(protocol: Mapping[str, Any], recipe: Recipe, device: str) -> None:
    """See to it that the metrics can be computed, before anything is trained; the reference's statistics are kept.

    Raises: ZooError for unknown metrics, a missing extractor, or a reference that does not fit.
    """
    from zoo.eval.collect import Watch, default_cache
    from zoo.eval.figures import open_metrics
    from zoo.eval.lens import Lens
    from zoo.eval.reference import find_reference, pixel_size

    if not protocol["metrics"]:
        return
    lens = Lens(protocol["extractor"], pick_device(device))
    figures = open_metrics(protocol["metrics"], lens)
    if figures.compare:
        find_reference(protocol["reference"] or recipe, None, pixel_size(recipe), lens, figures.reference_needs,
                       cache=default_cache(), watch=Watch(say=print))  # fmt: skip


def comparable(base: Recipe, other: Recipe) -> bool:
    """Whether the losses of two recipes are the same quantity."""
    return all(base.get(key, None) == other.get(key, None) for key in COMPARABLE)
