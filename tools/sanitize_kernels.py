"""Run every CUDA and Triton kernel under NVIDIA's compute-sanitizer, over a spread of small shapes: four tools at once.

    python tools/sanitize_kernels.py --out logs      # needs a GPU and compute-sanitizer (part of the CUDA toolkit)

Exit code 1 if a tool found anything or did not come to its end.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
FOUND = re.compile(r"(?:ERROR SUMMARY: (\d+) error)|(?:RACECHECK SUMMARY: (\d+) hazard)")
END = "every case ran"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("logs"), help="where each tool's log goes")
    parser.add_argument("--minutes", type=float, default=3.5, help="each tool is stopped after these")
    parser.add_argument("--tools", nargs="+", choices=TOOLS, default=TOOLS)
    parser.add_argument("--cases", action="store_true", help="only run the cases, without a tool")
    options = parser.parse_args()
    if options.cases:
        run_cases()
        return
    options.out.mkdir(parents=True, exist_ok=True)
    run_cases()  # compile, and let every kernel's self-test decide, outside the tools
    sys.exit(watch(options.tools, options.out, options.minutes))


def watch(tools: Sequence[str], out: Path, minutes: float) -> int:
    """Start the tools side by side; print what each found. Returns 0 if nothing."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    # every tensor its own allocation: a read beyond its end then leaves what is allocated
    environment = os.environ | {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    running = {}
    for tool in tools:
        command = [program, "--tool", tool, "--print-limit", "20"]
        command += ["--report-api-errors", "no"] if tool == "memcheck" else []
        command += [sys.executable, "-u", __file__, "--cases"]
        log = (out / f"sanitize_{tool}.log").open("w")
        running[tool] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    bad, stop = 0, time.monotonic() + 60 * minutes
    for tool, process in running.items():
        try:
            process.wait(max(0, stop - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
        text = (out / f"sanitize_{tool}.log").read_text(errors="replace")
        found = [int(a or b) for a, b in FOUND.findall(text)]
        cases, ended = text.count("\ncase ") + text.startswith("case "), END in text
        bad += not ended or sum(found) > 0 or not found
        print(
            f"{tool}: {sum(found) if found else '?'} found, {cases} cases, {'all' if ended else 'NOT all'} ran",
            flush=True,
        )
    return int(bad > 0)


def run_cases() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch

    for label, tensors, function in cases():
        print(f"case {label}", flush=True)
        y = function()
        outputs = [t for t in (y if isinstance(y, tuple) else (y,)) if t.requires_grad]
        if outputs:
            torch.autograd.grad(outputs, tensors, [torch.ones_like(t) for t in outputs])
        torch.cuda.synchronize()
    print(END)


def cases() -> Iterator[tuple]:
    """(what, tensors that want gradients, call)."""
    import torch

    from zoo import ops
    from zoo.ops.add_norm import RowSum
    from zoo.ops.mamba import cuda_front as front
    from zoo.ops.selective_scan import cuda_plan as plan

    def new(*size: int, dtype=torch.float32):
        return torch.randn(size).to("cuda", dtype).requires_grad_()  # drawn on the CPU: one kernel less to watch

    def order(length: int, ways: int = 0):
        rows = [torch.randperm(length) for _ in range(max(1, ways))]
        return (torch.stack(rows)[:, None] if ways else rows[0]).int().cuda()

    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
    scans = [  # batch, length, channels, states, ordered, directions
        (2, 37, 72, 16, 0, 0), (2, 37, 72, 16, 1, 0), (1, 33, 33, 5, 1, 0), (2, 70, 40, 33, 1, 0),
        (1, 1060, 32, 16, 1, 0), (1, 1, 1, 1, 0, 0), (140, 17, 256, 16, 1, 0), (40, 20, 1152, 16, 0, 0),
        (2, 37, 72, 16, 1, 2), (1, 1060, 33, 16, 1, 2), (3, 19, 40, 8, 1, 3),
    ]  # fmt: skip
    for name, kind in kinds.items():
        for batch, length, channels, state, ordered, ways in scans if name != "fp16" else scans[1:2]:
            k = (ways,) if ways else ()
            u, z = (new(batch, length, channels, dtype=kind) for _ in range(2))
            dt, B, C = (new(*k, batch, length, n, dtype=kind) for n in (channels, state, state))
            A = (-torch.rand(*k, channels, state)).cuda().requires_grad_()
            tensors = [u, dt, A, B, C, new(*k, channels), z, new(*k, channels)]
            along = order(length, ways) if ordered else None
            zoh = "zoh" if length == 33 else "euler"
            yield (
                f"scan {name} {batch, length, channels, state, ordered, ways}",
                tensors,
                lambda t=tensors, o=along, d=zoh: ops.selective_scan(*t, order=o, discretization=d, backend="cuda"),
            )
        for width, length, channels, ways in ((4, 37, 72, 0), (2, 1, 33, 0), (7, 100, 40, 0), (4, 37, 72, 2)):
            k = (ways,) if ways else ()
            tensors = [new(2, length, channels, dtype=kind), new(*k, channels, width), new(*k, channels)]
            along = order(length, ways)
            yield (
                f"conv {name} {width, length, channels, ways}",
                tensors,
                lambda t=tensors, o=along: ops.causal_conv(*t, order=o, backend="cuda"),
            )
        x, branch = (new(2, 19, 200, dtype=kind) for _ in range(2))
        gate, shift, scale = (new(2, 1, 200, dtype=kind) for _ in range(3))
        norm: list = [x, branch, gate, new(200), None, shift, scale]
        yield (
            f"add_norm {name}",
            [t for t in norm if t is not None],
            partial(ops.add_norm, *norm, 1e-5, False),
        )
        gate, shift, scale = (RowSum(t, new(200)) for t in (gate, shift, scale))
        norm = [x, branch, gate, new(200), None, shift, scale]
        yield (
            f"add_norm of sums {name}",
            [x, branch, *gate, norm[3], *shift, *scale],
            partial(ops.add_norm, *norm, 1e-5, False),
        )
        u, z, dt, B, C = (new(3, 73, n, dtype=kind).detach() for n in (80, 80, 80, 16, 16))
        given = [u, dt, -torch.rand(80, 16).cuda(), B, C, new(80).detach(), z, new(80).detach()]
        along = order(73)
        for shape in plan.SHAPES.values():
            yield f"scan {name} {tuple(shape)}", [], partial(shaped, shape, given, along)
    if front.unfit(torch.device("cuda")):
        return
    x, x_proj, dt_proj = (new(*n, dtype=torch.bfloat16).detach() for n in ((2, 150, 320), (64, 320), (320, 32)))
    for tile in front.TILES:
        given = front.Front(x, new(320, 3).detach(), new(320).detach(), x_proj, dt_proj, order(150))
        yield f"front {tuple(tile)}", [], partial(front.forward, given, tile)


def shaped(shape: Any, given: Sequence[Any], along: Any) -> Any:
    """A forward scan by a variant that so small a problem would not choose."""
    from zoo import ops
    from zoo.ops.selective_scan import cuda_plan as plan

    with mock.patch.object(plan, "forward_shape", lambda call: shape.over(call.steps)):
        return ops.selective_scan(*given, order=along, backend="cuda")


if __name__ == "__main__":
    main()
