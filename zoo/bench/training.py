"""One update of training, by the very code that zoo-train runs, on made-up images: images a second, memory, kernels."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch

from zoo.bench.clock import Call, in_time, measure
from zoo.bench.contestant import Contestant, labels
from zoo.bench.forms import COMPILED, COMPILED_GRAPH, EAGER, GRAPH, Form
from zoo.bench.machine import facts
from zoo.bench.memory import mib, peak
from zoo.bench.shares import shares
from zoo.bench.steps import timed
from zoo.builder import section
from zoo.data.loader import Batch
from zoo.errors import RecipeError
from zoo.recipe import Recipe
from zoo.train.graphed import WARM
from zoo.train.guard import Guard
from zoo.train.precision import configure
from zoo.train.ranks import Ranks
from zoo.train.settings import Train
from zoo.train.state import State
from zoo.train.step import Objective, Update

Say = Callable[[str], None]
Record = dict[str, Any]


def train_bench(contestants: Sequence[Contestant], batches: Sequence[int], device: torch.device, *, compiled: bool,
                minutes: float, say: Say) -> Record:  # fmt: skip
    """Measure the update of every recipe at every batch size, in every form.

    Args:
        compiled: whether forms with compiled blocks are among them.

    Returns: what goes into the JSON file.
    Raises: ZooError if a recipe cannot be trained.
    """
    recipes = {c.label: c.loaded() for c in contestants}
    records = []
    for form, label, batch in in_time(itertools.product(forms(device, compiled), recipes, batches), minutes, say):
        try:
            found = update(recipes[label], batch, device, form)
        except RecipeError as error:
            if not form.graph:
                raise
            say(f"{label}, batch {batch}, {form.name}: {error}")
            continue
        record = {"contestant": label, "form": form.name, **found}
        records.append(record)
        say(f"{label}, batch {batch}, {form.name}: {record['images_per_s']:,} images/s")
    return {
        "kind": "train", "machine": facts(device),
        "contestants": [{"label": c.label, "recipe": c.recipe, "settings": list(c.settings)} for c in contestants],
        "updates": records,
    }  # fmt: skip


def forms(device: torch.device, compiled: bool) -> list[Form]:
    """As written and, on a GPU, as a CUDA graph; each of them with compiled blocks too."""
    plain = [EAGER, GRAPH] if device.type == "cuda" else [EAGER]
    both = [COMPILED, COMPILED_GRAPH] if device.type == "cuda" else [COMPILED]
    return plain + both * compiled


def update(recipe: Recipe, batch: int, device: torch.device, form: Form) -> Record:
    """The record of one recipe at one batch size.

    Raises: RecipeError if its form is a graph, and it cannot be captured.
    """
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    chosen = {"train.batch": batch, "train.compile": form.compiled, "train.cuda_graph": form.graph}
    settings: Train = section(recipe.override(chosen), "train")()
    configure(device, settings.precision, settings.deterministic)
    state = State.start(recipe, settings, Ranks(device))
    step = Update(Objective(recipe, state.backbone, settings.precision), settings, Guard(settings.nonfinite, device))
    data = made_up(recipe, state, batch, device)

    def run() -> None:
        step(state, data)

    for _ in range(WARM + 1 if form.graph else 2):  # the optimizer's state counts as held, not as an update's peak
        run()
    gc.collect()
    held = mib(torch.cuda.memory_allocated(device)) if device.type == "cuda" else None
    above = peak(run, device)
    above = mib(above and above + step.through(state).uncounted)
    profiled = shares(run, device)
    timing = measure({"update": Call(run)}, device, budget=1.0)["update"]  # queued one behind the other, as in training
    return {
        "batch": batch, "micro_batch": state.micro, "precision": settings.precision, "shape": list(recipe["shape"]),
        "parameters": sum(p.numel() for p in state.parameters), **timed(timing),
        "images_per_s": round(1e3 * batch / timing.ms), "held_mib": held, "above_mib": above,
        "peak_mib": None if held is None or above is None else held + above,
        "shares": profiled.shares, "kernels": profiled.kernels, "loss": state.meter.read().get("loss"),
    }  # fmt: skip


def made_up(recipe: Recipe, state: State, batch: int, device: torch.device) -> Batch:
    """Noise for images, and any labels: time and memory do not depend on what they show."""
    generator = torch.Generator(device).manual_seed(0)
    images = torch.randn(batch, *recipe["shape"], generator=generator, device=device).clamp(-1, 1)
    return Batch(images, labels(state.backbone, batch, device), 0)
