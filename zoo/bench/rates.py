"""What this machine can do at most, measured in the same run as what is held against it."""

# pyright: reportIndexIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from zoo.bench.clock import Call, captured, measure

COPIED = {"cuda": 2**30, "cpu": 2**26}  # bytes: far more than any cache
ELEMENTS, UNROLL = 1024, 16  # of a program of the rate kernels; operations a loop
STEPS = {"exp2": 128, "fma": 768}  # loops, about a millisecond each


class Rates(NamedTuple):
    """Bytes, exponentials and multiply-adds a second; bytes count both read and written."""

    bytes: float
    exp2: float
    fma: float

    def floor(self, *, bytes: float, exp2: float, fma: float) -> float:
        """Milliseconds that a task takes at least: whatever it has most of, the rest at the same time."""
        return 1e3 * max(bytes / self.bytes, exp2 / self.exp2, fma / self.fma)


def rates(device: torch.device) -> Rates:
    """Measure all three; on a GPU by kernels that work in registers, elsewhere by torch inside the cache."""
    size = COPIED.get(device.type, 2**26)
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    calls = {"bytes": (Call(lambda: target.copy_(source)), 2.0 * size), **_arithmetic(device)}
    timings = measure({name: call for name, (call, _) in calls.items()}, device)
    return Rates(**{name: work / (timings[name].ms / 1e3) for name, (_, work) in calls.items()})


def _arithmetic(device: torch.device) -> dict[str, tuple[Call, float]]:
    """Calls that compute, with the number of operations in each."""
    return _on_gpu(device) if device.type == "cuda" else _in_cache(device)


def _on_gpu(device: torch.device) -> dict[str, tuple[Call, float]]:
    from zoo.bench.rate_kernels import exp2_kernel, fma_kernel

    programs = 16 * torch.cuda.get_device_properties(device).multi_processor_count
    out = torch.empty(programs * ELEMENTS, device=device)
    size = {"BLOCK": ELEMENTS, "UNROLL": UNROLL, "num_warps": 4}
    runs: dict[str, Callable[[], object]] = {
        "exp2": lambda: exp2_kernel[(programs,)](out, STEPS["exp2"], **size),
        "fma": lambda: fma_kernel[(programs,)](out, STEPS["fma"], 0.999, 0.001, **size),
    }
    return {name: (Call(captured(run)), float(out.numel() * UNROLL * STEPS[name])) for name, run in runs.items()}


def _in_cache(device: torch.device) -> dict[str, tuple[Call, float]]:
    x = -torch.rand(2**12, device=device)
    y = torch.empty_like(x)
    matrix = torch.rand(256, 256, device=device)
    product = torch.empty_like(matrix)

    def exponentials() -> None:
        for _ in range(64):
            torch.exp2(x, out=y)

    return {"exp2": (Call(exponentials), 64.0 * x.numel()),
            "fma": (Call(lambda: torch.mm(matrix, matrix, out=product)), 256.0**3)}  # fmt: skip
