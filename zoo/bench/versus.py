"""One selective scan against one softmax attention at equal tokens and width: what the DiM paper claims in 4.2.

The scan is measured at the width itself and at twice the width, which a Mamba block of that width has inside;
attention with heads of 64 and of 128 channels, by the fastest of torch's kernels. Neither has its projections.
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.bench.clock import Call, captured, in_time, measure
from zoo.bench.findings import crossover
from zoo.bench.forms import ATTENTION, attention
from zoo.bench.machine import facts
from zoo.bench.op_cases import Case, inputs
from zoo.bench.steps import timed
from zoo.ops import selective_scan
from zoo.ops.flops import count_macs

HEADS = (64, 128)  # channels of a head
STATE = 16
PASSES = ("forward", "forward and backward")
Say = Callable[[str], None]
Record = dict[str, Any]


def against_attention(tokens: Sequence[int], width: int, batch: int, device: torch.device, dtype: torch.dtype,
                      minutes: float, say: Say) -> Record:  # fmt: skip
    """Measure at every number of tokens, both passes.

    Returns: what goes into the JSON file.
    """
    records = []
    for count, backward in in_time(itertools.product(tokens, (False, True)), minutes, say):
        found = [*_timed_at(count, width, batch, device, dtype, backward)]
        records += found
        say(f"{count} tokens, {PASSES[backward]}: " + ", ".join(f"{r['what']} {r['ms']:.3g} ms" for r in found))
    return {"kind": "versus", "machine": facts(device), "dtype": str(dtype).removeprefix("torch."), "batch": batch,
            "width": width, "points": records, "crossovers": _crossovers(records)}  # fmt: skip


def _timed_at(count: int, width: int, batch: int, device: torch.device, dtype: torch.dtype, backward: bool):
    """The records of one size and pass."""
    calls: dict[str, Call] = {}
    macs: dict[str, int] = {}
    for channels in (width, 2 * width):
        run = _scan(Case("selective_scan", "forward", batch, channels, count, STATE), device, dtype, backward)
        calls[f"scan, {channels} channels"] = _call(run, device)
        macs[f"scan, {channels} channels"] = count_macs(run)[0]
    for head in (h for h in HEADS if width % h == 0):
        for kernel in ATTENTION if device.type == "cuda" else [None]:
            run = _attend(batch, width // head, count, head, kernel, device, dtype, backward)
            try:
                macs[f"attention, {width // head} x {head}"] = count_macs(run)[0]
                calls[f"attention, {width // head} x {head}|{kernel}"] = _call(run, device)
            except RuntimeError:  # this kernel does not take these sizes or is not there
                continue
    timings = measure(calls, device, budget=0.05)
    calls.clear()
    gc.collect()
    for what in dict.fromkeys(name.split("|")[0] for name in timings):
        kernel, best = min(((n.partition("|")[2], t) for n, t in timings.items() if n.split("|")[0] == what),
                           key=lambda pair: pair[1].ms)  # fmt: skip
        yield {"tokens": count, "pass": PASSES[backward], "what": what, **timed(best), "macs": macs[what],
               "kernel": None if kernel in ("", "None") else kernel}  # fmt: skip


def _call(run: Callable[[], object], device: torch.device) -> Call:
    return Call(captured(run)) if device.type == "cuda" else Call(run)


def _scan(case: Case, device: torch.device, dtype: torch.dtype, backward: bool) -> Callable[[], object]:
    x = inputs(case, device, dtype, "channel_last", 0)
    tensors = [t.requires_grad_(backward) for t in x[:8]]
    return _passes(lambda: selective_scan(*tensors), tensors, torch.randn_like(x.u), backward)


def _attend(batch: int, heads: int, count: int, head: int, kernel: str | None, device: torch.device,
            dtype: torch.dtype, backward: bool) -> Callable[[], object]:  # fmt: skip
    # as a projection leaves them: (batch, tokens, heads, channels), seen from the heads
    parts = [torch.randn(batch, count, heads, head, device=device).to(dtype).transpose(1, 2) for _ in "qkv"]
    tensors = [t.requires_grad_(backward) for t in parts]
    gradient = torch.randn(batch, heads, count, head, device=device).to(dtype)
    run = _passes(lambda: F.scaled_dot_product_attention(*tensors), tensors, gradient, backward)

    def chosen() -> object:
        with attention(kernel):
            return run()

    return chosen


def _passes(forward: Callable[[], Tensor], leaves: list[Tensor], gradient: Tensor,
            backward: bool) -> Callable[[], object]:  # fmt: skip
    """The forward pass, or also the gradients of everything."""
    return (lambda: torch.autograd.grad(forward(), leaves, gradient)) if backward else forward


def _crossovers(records: Sequence[Record]) -> list[Record]:
    """From how many tokens on each scan is faster than each attention."""
    found = []
    for which in PASSES:
        curves: dict[str, dict[int, float]] = {}
        for r in (r for r in records if r["pass"] == which):
            curves.setdefault(r["what"], {})[r["tokens"]] = r["ms"]
        scans, attentions = ([w for w in curves if w.startswith(kind)] for kind in ("scan", "attention"))
        for ours, theirs in ((s, a) for s in scans for a in attentions):
            sizes = sorted(curves[ours].keys() & curves[theirs].keys())
            at = crossover(sizes, [curves[ours][n] for n in sizes], [curves[theirs][n] for n in sizes])
            found.append({"pass": which, "first": ours, "other": theirs, "at": at, "from": sizes[0],
                          "up_to": sizes[-1]})  # fmt: skip
    return found
