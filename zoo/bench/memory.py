"""How much memory a call needs at its peak, above what was held before it."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable
from typing import Any

import torch

from zoo.bench.clock import synchronize

FORGET = "/proc/self/clear_refs"  # writing 5 there forgets the peak so far


def peak(run: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes at the peak of `run`, above what was allocated when it began; None where nobody counts."""
    gc.collect()
    if device.type == "cuda":
        synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    if device.type == "cpu" and os.access(FORGET, os.W_OK):
        ctypes.CDLL(None).malloc_trim(0)  # what malloc kept for itself would hide what the call takes
        before = _status("VmRSS")
        with open(FORGET, "w") as peaks:
            peaks.write("5")
        run()
        return _status("VmHWM") - before
    return None


def ran_out(error: BaseException) -> bool:
    """Whether this is the message of a device, or of the host, that has no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "can't allocate memory" in str(error)


def forget(device: torch.device) -> None:
    """Give back the memory of what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def mib(size: int | None) -> float | None:
    """Bytes as MiB, rounded."""
    return None if size is None else round(size / 2**20, 1)


def _status(field: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))
