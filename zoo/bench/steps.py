"""One denoising step of several networks over a sweep of sizes: time, memory, multiply-adds, kernel shares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from zoo.bench.budget import Budget
from zoo.bench.clock import Call, Timing, in_time, measure
from zoo.bench.contestant import DTYPES, Contestant, inputs, patches
from zoo.bench.findings import best, crossovers, growths, lines
from zoo.bench.forms import attention, main_form, more_forms, prepare
from zoo.bench.machine import clocks, facts
from zoo.bench.memory import forget, mib, peak, ran_out
from zoo.bench.points import Point
from zoo.bench.shares import shares
from zoo.ops.flops import count_macs

NO_MEMORY = "out of memory"
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
    backward: bool = False  # the gradients as well
    attention: str | None = None  # the kernel that softmax attention must take; None leaves it to torch

    @property
    def form(self) -> str:
        """The form of the curves."""
        return main_form(self.device, self.backward).name


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
    full: dict[str, int] = {}  # the first point for which a contestant found no memory
    if options.device.type == "cpu" and points:
        budget.calibrate(options.device, DTYPES[options.dtype])
    ahead = sorted(points, key=lambda p: (p.at not in options.detail, p.at))  # the picture first, then its finer points
    for point in in_time(ahead, options.minutes, say):
        estimate = budget.seconds(point, options.limit)
        if estimate > options.limit:
            skipped.append({"at": point.at, "estimate_s": round(estimate)})
            say(f"{options.axis} {point.at}: skipped, it would take about {estimate / 60:.0f} minutes")
            continue
        able = [c for c in contestants if point.at < full.get(c.label, point.at + 1)]
        with attention(options.attention):
            found = measure_point(able, point, options)
        full |= {r["contestant"]: point.at for r in found if r["failed"].get(options.form) == NO_MEMORY}
        times = {r["contestant"]: best(r, options.form) for r in found}
        ms = {label: value for label, value in times.items() if value is not None}
        budget.learn(point, ms, {r["contestant"]: r["macs"] for r in found if r["contestant"] in ms})
        say(f"{options.axis} {point.at}: " + ", ".join(_outcome(r, options.form) for r in found))
        records += found
    records.sort(key=lambda record: record["at"])
    form = options.form
    return {
        "kind": "step", "machine": facts(options.device), "axis": options.axis, "batch": options.batch,
        "dtype": options.dtype, "main_form": form, "backward": options.backward, "attention": options.attention,
        "contestants": [{"label": c.label, "recipe": c.recipe, "settings": list(c.settings)} for c in contestants],
        "points": records, "skipped": skipped, "limit_s": options.limit,
        "out_of_memory": [{"contestant": label, "at": at} for label, at in full.items()],
        "crossovers": crossovers(records, form), "growth": growths(records, form, GROWS_FROM[options.axis]),
        "lines": lines(records, form),
    }  # fmt: skip


@torch.no_grad()
def measure_point(contestants: Sequence[Contestant], point: Point, options: Options) -> list[Record]:
    """The records of one point, one a contestant."""
    torch.compiler.reset()  # else a second size would be compiled for any size
    entries = [enter(contestant, point, options) for contestant in contestants]
    calls = {(i, form): call for i, entry in enumerate(entries) for form, call in entry.calls.items()}
    named = {f"{i} {form}": call for (i, form), call in calls.items()}
    timings = _timings(named, options.device)
    for i, form in calls:
        if f"{i} {form}" in timings:
            entries[i].record["forms"][form] = timed(timings[f"{i} {form}"])
        else:
            entries[i].record["failed"][form] = NO_MEMORY
    seen = clocks() if options.device.type == "cuda" else {}
    for entry in entries:
        entry.record["clocks"] = seen
    del calls, named
    found = [entry.record for entry in entries]
    entries.clear()
    forget(options.device)
    return found


def enter(contestant: Contestant, point: Point, options: Options) -> Entry:
    """Build a contestant at a point, count, look at memory and kernels, and prepare its forms.

    Where there is not memory enough for it, its record says so.
    """
    shape = point.shape(contestant.channels)
    record: Record = {"contestant": contestant.label, "at": point.at, "shape": list(shape), "activation_mib": None,
                      "forms": {}, "failed": {}}  # fmt: skip
    try:
        return _entered(record, contestant, point, options)
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
    record["failed"][options.form] = NO_MEMORY
    forget(options.device)
    return Entry({"macs": contestant.macs(shape), **record})


def _entered(record: Record, contestant: Contestant, point: Point, options: Options) -> Entry:
    device, dtype, shape = options.device, DTYPES[options.dtype], point.shape(contestant.channels)
    backbone = contestant.build(shape, device, dtype).requires_grad_(options.backward)
    x, t, y = inputs(backbone, shape, options.batch, device, dtype)

    def step(network: nn.Module) -> object:
        return gradients(network, x, t, y) if options.backward else network(x, t, y)

    weights = sum(p.numel() * p.element_size() for p in backbone.parameters())
    record |= {"tokens": patches(backbone, shape), "parameters": sum(p.numel() for p in backbone.parameters()),
               "weights_mib": mib(weights)}  # fmt: skip
    record["macs"] = count_macs(backbone, x, t, y)[0] // options.batch
    record["activation_mib"] = mib(peak(lambda: step(backbone), device))
    entry, forms = Entry(record), [main_form(device, options.backward)]
    if point.at in options.detail:
        profiled = shares(lambda: step(backbone), device)
        record |= {"shares": profiled.shares, "kernels": profiled.kernels}
        forms += more_forms(device, attends="attention" in profiled.shares, compiled=options.compiled,
                            backward=options.backward)  # fmt: skip
    for form in forms:
        network = contestant.build(shape, device, dtype) if form.compiled else backbone
        try:
            entry.calls[form.name] = prepare(form, network.requires_grad_(options.backward), step)
        except RuntimeError as error:  # a form that cannot run is a finding, not the end
            why = NO_MEMORY if ran_out(error) else str(error).strip().splitlines()[0][:200]
            record["failed"][form.name] = why
    return entry


def gradients(network: nn.Module, *inputs: Any) -> None:
    """Forward and backward, as an update of training has them; gradients of the call before are dropped."""
    network.zero_grad(set_to_none=True)
    with torch.enable_grad():
        network(*inputs).float().square().mean().backward()


def _timings(calls: dict[str, Call], device: torch.device) -> dict[str, Timing]:
    """Of every call, side by side; one by one, without those that have no memory, where that is not possible."""
    try:
        return measure(calls, device)
    except (RuntimeError, MemoryError) as error:
        if not ran_out(error):
            raise
    found = {}
    for name, call in calls.items():
        forget(device)
        try:
            found |= measure({name: call}, device)
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
    return found


def _outcome(record: Record, form: str) -> str:
    ms = best(record, form)
    return f"{record['contestant']} " + (f"{ms:.3g} ms" if ms else record["failed"].get(form, "not measured"))


def timed(timing: Timing) -> dict[str, Any]:
    """A timing as JSON."""
    return {"ms": round(timing.ms, 5), "medians": [round(m, 5) for m in timing.medians]}
