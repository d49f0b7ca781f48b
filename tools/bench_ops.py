"""Time every backend of the operators on this GPU: the shapes of docs/kernels.md, as a table and as JSON.

    python tools/bench_ops.py                       # all
    python tools/bench_ops.py --backends cuda --json ops.json

Backends are timed alone (`do_bench`: CUDA events, L2 flushed, median), not with PyTorch's dispatch around them; a
backward includes all its reductions. "order" is the extra time when positions are visited in random order.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import torch

from zoo.ops import dispatch
from zoo.ops.causal_conv.inputs import Inputs as ConvInputs
from zoo.ops.selective_scan.inputs import Inputs as ScanInputs

SCAN_FORWARD = [(128, 1024, 365), (32, 3072, 273), *((2, 3072, n) for n in (366, 1230, 4494, 9806)), (1, 3072, 9806)]
SCAN_BACKWARD = [(128, 1024, 365), (32, 3072, 273), (8, 3072, 1056), (2, 3072, 4494)]
CONV = [(128, 1024, 273)]
STATE, WIDTH = 16, 4


def scan_inputs(batch: int, channels: int, length: int, order: torch.Tensor | None) -> ScanInputs:
    """A Mamba block's scan in bf16: steps of about 0.1, u and z halves of one projection."""
    u, z = torch.randn(batch, length, 2 * channels, device="cuda").bfloat16().chunk(2, -1)
    dt = (torch.randn(batch, length, channels, device="cuda") * 0.5 - 1).bfloat16()
    B, C = torch.randn(batch, length, 2 * STATE, device="cuda").bfloat16().chunk(2, -1)
    A = -torch.arange(1, STATE + 1, device="cuda").float().repeat(channels, 1)
    D, bias = torch.randn(channels, device="cuda"), torch.randn(channels, device="cuda") * 0.1 - 2
    return ScanInputs(u, dt, A, B, C, D, z, bias, order, True, False)


def conv_inputs(batch: int, channels: int, length: int, order: torch.Tensor | None) -> ConvInputs:
    x = torch.randn(batch, length, 2 * channels, device="cuda").bfloat16().chunk(2, -1)[0]
    return ConvInputs(x, torch.randn(channels, WIDTH, device="cuda"), torch.randn(channels, device="cuda"), order, True)


def calls(op: str, direction: str, module, x, gy: torch.Tensor) -> Callable[[], object]:
    """What to time."""
    if op == "causal_conv":
        return (lambda: module.forward(x)) if direction == "forward" else (lambda: module.backward(x, gy))
    if direction == "backward":
        states = module.forward(x, True)[1]
        return lambda: module.backward(x, states, gy)
    return lambda: module.forward(x, direction == "forward, states kept")


def median(run: Callable[[], object], repeats: int) -> float:
    """Milliseconds: the median of several medians."""
    from triton.testing import do_bench

    return statistics.median(do_bench(run, warmup=10, rep=40, return_mode="median") for _ in range(repeats))


def measure(op: str, direction: str, backend: str, shape: tuple[int, int, int], repeats: int) -> dict | None:
    """One line of the table, or None where the backend cannot run."""
    batch, channels, length = shape
    device, scan = torch.device("cuda", torch.cuda.current_device()), op == "selective_scan"
    problem = dispatch.Problem(device, torch.bfloat16, STATE if scan else WIDTH)
    module = dispatch.load(op, backend)
    if module.supports(problem):
        return None
    order = torch.randperm(length, device="cuda").int()
    inputs = scan_inputs if scan else conv_inputs
    gy = torch.randn(batch, length, channels, device="cuda").bfloat16()
    plain, ordered = (median(calls(op, direction, module, inputs(*shape, o), gy), repeats) for o in (None, order))
    elements = batch * length * channels
    # (batch, length, channels) tensors that must be read or written
    tensors = {"selective_scan": (4, 7), "causal_conv": (2, 3)}[op][direction == "backward"]
    row = {"op": op, "direction": direction, "backend": backend, "shape": shape, "ms": plain}
    row["order_percent"] = 100 * (ordered / plain - 1)
    if scan:
        row["g_updates_per_s"] = elements * STATE / plain / 1e6
    return row | {"gb_per_s": 2 * elements * tensors / plain / 1e6}


def line(row: dict) -> str:
    rate = f"{row['g_updates_per_s']:7.0f} G/s" if "g_updates_per_s" in row else " " * 11
    where = f"{row['op']:15}{row['direction']:22}{row['shape']!s:18}{row['backend']:8}"
    return f"{where}{row['ms']:9.4f} ms {rate} {row['gb_per_s']:6.0f} GB/s  order {row['order_percent']:+.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backends", nargs="+", default=["cuda", "triton"], help="names from zoo.ops.dispatch")
    parser.add_argument("--repeats", type=int, default=3, help="medians per figure")
    parser.add_argument("--json", type=Path, help="write the rows here")
    options = parser.parse_args()
    work = [("selective_scan", "forward", s) for s in SCAN_FORWARD]
    work += [("selective_scan", d, s) for d in ("forward, states kept", "backward") for s in SCAN_BACKWARD]
    work += [("causal_conv", d, s) for d in ("forward", "backward") for s in CONV]
    rows = []
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for op, direction, shape in work:
        for backend in options.backends:
            if row := measure(op, direction, backend, shape, options.repeats):
                rows.append(row)
                print(line(row), flush=True)
    if options.json:
        found = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "rows": rows}
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
