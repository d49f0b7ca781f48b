"""What a study will cost: seconds and bytes, from one measurement on the device and counts without memory."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from zoo.ablate.rows import Row
from zoo.ablate.study import Study
from zoo.builder import as_recipe, build_backbone, needed_labels, section, summary
from zoo.recipe import Recipe
from zoo.sampling.api import pick_device
from zoo.train.memory import need
from zoo.train.precision import configure
from zoo.train.step import Objective

BLOCKS, ENOUGH = 3, 0.5
"""Blocks that are timed, and seconds after which the batch is large enough to tell."""
TRAINING = 3
"""A training step in forward passes: itself, and twice as much backwards."""


@dataclass(frozen=True)
class Cost:
    """Of one row and seed: seconds to train and to measure, bytes of weights with their states, of activations."""

    training: float
    measuring: float
    states: int
    activations: int


def costs(study: Study, device: str) -> dict[str, Cost]:
    """The cost of each row; every estimate rests on the speed of the full recipe's blocks on this device."""
    rate = speed(study.base.recipe, pick_device(device))
    return {row.label: _cost(row, study, rate) for row in study.rows}


def _cost(row: Row, study: Study, rate: float) -> Cost:
    recipe, macs = row.recipe, row.counts["macs"] or 0
    train, protocol = recipe["train"], study.protocol
    seen = train["steps"] * train["batch"]
    validations = train["steps"] / max(train["val_every"], 1) * train["val_images"] * (1 + len(train["ema"]))
    memory = need(recipe.override(["train.recompute=none"]))
    assert memory is not None
    calls = recipe.get("sampler.steps", 50) * (1 if recipe.get("guidance.use") == "none" else 2)
    scored = protocol["count"] * protocol["draws"] if protocol["metrics"] else 0
    pictures = study.shown * sum(scale**2 for scale in study.scales)
    return Cost(
        training=(TRAINING * seen + validations) * macs / rate,
        measuring=((scored + pictures) * calls + train["val_images"]) * macs / rate,
        states=memory.states,
        activations=memory.at(train["micro_batch"] or train["batch"]) - memory.states,
    )


def speed(recipe: Recipe, device: torch.device) -> float:
    """Multiply-adds a second in training, measured on a few blocks of full width."""
    few = [f"backbone.depth={BLOCKS}"] if (recipe.get("backbone.depth", None) or 0) > BLOCKS else []
    small = as_recipe(recipe, few)
    settings = section(small, "train")()
    configure(device, settings.precision, settings.deterministic)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build_backbone(small).to(device).train()
    objective = Objective(small, backbone, settings.precision)
    images, most, macs = 1, recipe.get("train.batch"), summary(small)["macs"] or 0
    pass_seconds(objective, small, images, device)  # compiles
    while True:
        seconds = pass_seconds(objective, small, images, device)
        if images >= most or seconds > ENOUGH:
            return TRAINING * images * macs / seconds
        images = min(2 * images, most)


def pass_seconds(objective: Objective, recipe: Recipe, images: int, device: torch.device) -> float:
    """Seconds of one loss and its gradient."""
    x = torch.zeros(images, *recipe["shape"], device=device)
    labels = {name: torch.zeros(images, dtype=torch.int64, device=device)
              for name in needed_labels(objective.backbone)}  # fmt: skip
    draw = objective.draw(x, 0, 0, 0.0)
    start = time.perf_counter()
    objective(x, labels, draw).mean().backward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
