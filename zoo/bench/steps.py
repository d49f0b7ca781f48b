"""One denoising step of several networks over a sweep of sizes: time, memory, multiply-adds, kernel shares."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zoo.bench.budget import Budget
from zoo.bench.clock import Call, Timing, in_time, measure
from zoo.bench.contestant import DTYPES, Contestant, inputs, patches
from zoo.bench.findings import best, crossovers, growths
from zoo.bench.forms import main_form, more_forms, prepare
from zoo.bench.machine import clocks, facts
from zoo.bench.memory import mib, peak
from zoo.bench.points import Point
from zoo.bench.shares import shares
from zoo.ops.flops import count_macs

GROWS_FROM = {"resolution": 512, "frames": 1}  # below, fixed costs hide how time grows
Say = Callable[[str], None]
Record = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """How to measure."""

    device: torch.device
    dtype: str = "bf16"
    batch: int = 2
    axis: str = "resolution"  # or "frames"
    limit: float = 300.0  # seconds that a point may take by its estimate
    detail: Collection[int] = ()  # points that are measured in every form and profiled
    compiled: bool = False  # whether torch.compile is among the forms
    minutes: float = 0.0  # for everything; points that are not reached are left out; 0: no limit


@dataclass
class Entry:
    """A contestant at a point: what is known of it before the clock runs, and what shall be timed."""

    record: Record
    calls: dict[str, Call] = field(default_factory=dict)


def sweep(contestants: Sequence[Contestant], points: Sequence[Point], options: Options, say: Say) -> Record:
    """Measure every contestant at every point; at each point they are timed side by side.

    Returns: what goes into the JSON file, see docs/benchmarks.md.
    Raises: ZooError if a recipe cannot be built.
    """
    for contestant in contestants:
        contestant.loaded()  # a mistake is told before the first minute of work
    budget, records, skipped = Budget(contestants, options.batch), [], []
    if options.device.type == "cpu" and points:
        budget.calibrate(options.device, DTYPES[options.dtype])
    ahead = sorted(points, key=lambda p: (p.at not in options.detail, p.at))  # the picture first, then its finer points
    for point in in_time(ahead, options.minutes, say):
        estimate = budget.seconds(point, options.limit)
        if estimate > options.limit:
            skipped.append({"at": point.at, "estimate_s": round(estimate)})
            say(f"{options.axis} {point.at}: skipped, it would take about {estimate / 60:.0f} minutes")
            continue
        found = measure_point(contestants, point, options)
        times = {r["contestant"]: best(r, main_form(options.device).name) for r in found}
        ms = {label: value for label, value in times.items() if value is not None}
        budget.learn(point, ms, {r["contestant"]: r["macs"] for r in found if r["contestant"] in ms})
        say(f"{options.axis} {point.at}: " + ", ".join(f"{label} {value:.3g} ms" for label, value in ms.items()))
        records += found
    records.sort(key=lambda record: record["at"])
    form = main_form(options.device).name
    return {
        "kind": "step", "machine": facts(options.device), "axis": options.axis, "batch": options.batch,
        "dtype": options.dtype, "main_form": form,
        "contestants": [{"label": c.label, "recipe": c.recipe, "settings": list(c.settings)} for c in contestants],
        "points": records, "skipped": skipped, "limit_s": options.limit,
        "crossovers": crossovers(records, form), "growth": growths(records, form, GROWS_FROM[options.axis]),
    }  # fmt: skip


@torch.no_grad()
def measure_point(contestants: Sequence[Contestant], point: Point, options: Options) -> list[Record]:
    """The records of one point, one a contestant."""
    torch.compiler.reset()  # else a second size would be compiled for any size
    entries = [enter(contestant, point, options) for contestant in contestants]
    calls = {(i, form): call for i, entry in enumerate(entries) for form, call in entry.calls.items()}
    named = {f"{i} {form}": call for (i, form), call in calls.items()}
    timings = measure(named, options.device)
    for i, form in calls:
        entries[i].record["forms"][form] = timed(timings[f"{i} {form}"])
    seen = clocks() if options.device.type == "cuda" else {}
    for entry in entries:
        entry.record["clocks"] = seen
    del calls, named
    found = [entry.record for entry in entries]
    entries.clear()
    gc.collect()
    if options.device.type == "cuda":
        torch.cuda.empty_cache()
    return found


def enter(contestant: Contestant, point: Point, options: Options) -> Entry:
    """Build a contestant at a point, count, look at memory and kernels, and prepare its forms."""
    device, dtype, shape = options.device, DTYPES[options.dtype], point.shape(contestant.channels)
    backbone = contestant.build(shape, device, dtype)
    x, t, y = inputs(backbone, shape, options.batch, device, dtype)

    def step(network: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return network(x, t, y)

    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    entry = Entry({
        "contestant": contestant.label, "at": point.at, "shape": list(shape), "tokens": patches(backbone, shape),
        "parameters": sum(p.numel() for p in backbone.parameters()), "weights_mib": mib(weights),
        "macs": count_macs(backbone, x, t, y)[0] // options.batch,
        "activation_mib": mib(peak(lambda: step(backbone), device)), "forms": {}, "failed": {},
    })  # fmt: skip
    forms = [main_form(device)]
    if point.at in options.detail:
        profiled = shares(lambda: step(backbone), device)
        entry.record |= {"shares": profiled.shares, "kernels": profiled.kernels}
        forms += more_forms(device, attends="attention" in profiled.shares, compiled=options.compiled)
    for form in forms:
        network = contestant.build(shape, device, dtype) if form.compiled else backbone
        try:
            entry.calls[form.name] = prepare(form, network, step)
        except RuntimeError as error:  # a form that cannot run is a finding, not the end
            entry.record["failed"][form.name] = str(error).strip().splitlines()[0][:200]
    return entry


def timed(timing: Timing) -> dict[str, Any]:
    """A timing as JSON."""
    return {"ms": round(timing.ms, 5), "medians": [round(m, 5) for m in timing.medians]}
