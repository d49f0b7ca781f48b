"""Every operator, every backend that can, side by side, and how far each is from what the machine allows."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from zoo.bench.clock import Call, Timing, captured, in_time, measure
from zoo.bench.machine import clocks, facts
from zoo.bench.op_cases import Case, inputs, prepare
from zoo.bench.rates import Rates, rates
from zoo.bench.steps import timed
from zoo.errors import BackendError, ZooError
from zoo.ops import dispatch

LONGEST_LOOP = 512  # steps that the reference loop is timed over: every step of it is a dozen kernels
MOST_COPIES = 16
Say = Callable[[str], None]
Record = dict[str, Any]


def bench(cases: Sequence[Case], device: torch.device, dtype: torch.dtype, backends: Sequence[str], minutes: float,
          say: Say) -> Record:  # fmt: skip
    """Measure the cases.

    Args:
        backends: names; empty for all.

    Returns: what goes into the JSON file.
    Raises: BackendError if no operator has a backend of such a name.
    """
    known = dict.fromkeys(name for op in dispatch.BACKENDS for name in dispatch.names(op))
    for name in (n for n in backends if n not in known):
        raise BackendError(f"no operator has a backend {name!r}", where="--backends", allowed=known, given=name)
    limits = rates(device)
    say(f"copy {limits.bytes / 1e12:.3g} TB/s, exp2 {limits.exp2 / 1e9:,.0f} G/s, fma {limits.fma / 1e9:,.0f} G/s")
    records = []
    for case in in_time(cases, minutes, say):
        found = compare(case, device, dtype, backends, limits)
        records += found
        for r in (r for r in found if "ms" in r):
            say(f"{case.name}: {r['backend']} {r['ms']:.4g} ms, {r['rate'] / 1e9:,.4g} G/s, {r['of_bound']:.1%}")
    return {"kind": "ops", "machine": facts(device), "dtype": str(dtype).removeprefix("torch."),
            "rates": {name: round(value) for name, value in limits._asdict().items()}, "cases": records,
            "clocks_after": clocks() if device.type == "cuda" else {}}  # fmt: skip


def compare(case: Case, device: torch.device, dtype: torch.dtype, backends: Sequence[str],
            limits: Rates) -> list[Record]:  # fmt: skip
    """The records of one case: one for every backend and memory layout that it takes."""
    records, calls, recomputing = [], {}, {}
    for name in [n for n in dispatch.names(case.op) if not backends or n in backends]:
        module = dispatch.load(case.op, name)
        for layout in getattr(module, "layouts", ("channel_last",)):
            key = f"{name}, channel-first" if layout == "channel_first" else name
            record = {"case": case.name, "op": case.op, "direction": case.direction, "shuffled": case.shuffled,
                      "shape": [case.batch, case.channels, case.length], "backend": key, "macs": case.macs}  # fmt: skip
            records.append(record)
            reason = module.supports(case.problem(device, dtype)) or _too_slow(name, case)
            try:
                if not reason:
                    calls[key] = _rotating(case, module, device, dtype, layout)
                    if case.direction == "backward" and getattr(module, "recomputes", False):
                        ahead = Case(**{**vars(case), "direction": "forward"})
                        recomputing[key] = _rotating(ahead, module, device, dtype, layout)
            except (RuntimeError, ZooError) as error:  # out of memory, or cannot be compiled here
                reason = str(error).strip().splitlines()[0][:200]
            if reason:
                record["why_not"] = reason
    forward = {f"{key}, forward": call for key, call in recomputing.items()}
    timings = measure({**calls, **forward}, device)
    for record in records:
        if (key := record["backend"]) in calls:
            own = timings[key]
            if key in recomputing:  # the library's backward alone
                own = _less(own, timings[f"{key}, forward"])
            record |= {**timed(own), **_rates(case, own.ms, dtype, limits), "forward_left_out": key in recomputing}
    calls.clear()
    forward.clear()
    recomputing.clear()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return records


def _rotating(case: Case, module: Any, device: torch.device, dtype: torch.dtype, layout: str) -> Call:
    """On a GPU a graph of calls on one set of tensors after the other, so that no call finds its own in the cache."""
    if device.type != "cuda" or module.name == "naive":
        return Call(prepare(case, module, inputs(case, device, dtype, layout, 0)))
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    copies = min(MOST_COPIES, math.ceil(4 * cache / case.bytes(dtype.itemsize)))
    runs = [prepare(case, module, inputs(case, device, dtype, layout, i)) for i in range(copies)]
    return Call(captured(lambda: [run() for run in runs]), repeats=copies)


def _too_slow(name: str, case: Case) -> str | None:
    if name == "naive" and case.length > LONGEST_LOOP:
        return f"not measured: a loop in Python of {case.length} steps"
    return None


def _less(whole: Timing, part: Timing) -> Timing:
    medians = tuple(w - p for w, p in zip(whole.medians, part.medians))
    return Timing(min(medians), medians)


def _rates(case: Case, ms: float, dtype: torch.dtype, limits: Rates) -> Record:
    """Updates and bytes a second, and the share of the bound that is reached."""
    moved = case.bytes(dtype.itemsize)
    floor = limits.floor(bytes=moved, exp2=case.exponentials, fma=case.macs)
    return {"rate": case.updates / ms * 1e3, "bytes_per_s": moved / ms * 1e3, "floor_ms": floor, "of_bound": floor / ms}
