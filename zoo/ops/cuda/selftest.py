"""The first use of a kernel on a machine checks it against the reference; a wrong one is switched off, loudly.

Verdicts are kept beside the compiled kernels, by driver, PyTorch, GPU and source, so the check runs once a machine.
"""

from __future__ import annotations

import functools
import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from zoo.ops.cuda import driver, nvrtc

TOLERANCE = {
    torch.float32: 1e-4,
    torch.float16: 2e-3,
    torch.bfloat16: 1.5e-2,
}  # relative error; rounding of results is most of it


def verdict(
    op: str, folder: Path, dtype: torch.dtype, device: torch.device, errors: Callable[..., dict[str, float]]
) -> str | None:
    """Why the operator's kernels cannot be trusted on a device, or None.

    Args:
        op: operator name.
        folder: where its .cu files are.
        dtype, device: what to check.
        errors: (dtype, device) -> relative error of every result against the reference.
    """
    if torch.cuda.is_current_stream_capturing():
        return None  # no time to look: whoever captures has run before
    index = device.index if device.index is not None else torch.cuda.current_device()
    return _verdict(op, folder, dtype, index, errors)


@functools.cache
def _verdict(
    op: str, folder: Path, dtype: torch.dtype, index: int, errors: Callable[..., dict[str, float]]
) -> str | None:
    path = nvrtc.folder() / f"{op}-{_key(folder, dtype, index)}.json"
    try:
        reason = json.loads(path.read_text())["reason"]
    except (OSError, ValueError, KeyError):
        reason = _try(dtype, torch.device("cuda", index), errors)
        nvrtc.keep(path, json.dumps({"op": op, "dtype": str(dtype), "reason": reason}).encode())
    if reason:
        warnings.warn(f"zoo.ops.{op}: the CUDA kernel is switched off, {reason}", RuntimeWarning, stacklevel=2)
    return reason


def _try(dtype: torch.dtype, device: torch.device, errors: Callable[..., dict[str, float]]) -> str | None:
    try:
        with _disable_current_modes(), torch.inference_mode(False), torch.no_grad(), torch.cuda.device(device):
            found = errors(dtype, device)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return f"its self-test fails: {type(error).__name__}: {str(error)[:500]}"
    wrong = {k: v for k, v in found.items() if not v <= TOLERANCE[dtype]}  # a NaN is wrong too
    return (
        f"its self-test finds wrong results: {', '.join(f'{k} off by {v:.1e}' for k, v in wrong.items())}"
        if wrong
        else None
    )


def _key(folder: Path, dtype: torch.dtype, index: int) -> str:
    sources = sorted([*folder.glob("*.cu"), *folder.glob("cuda*.py"), *Path(__file__).parent.glob("*.cu*")])
    parts = [*(p.read_text() for p in sources), torch.__version__, torch.cuda.get_device_name(index)]
    parts += [str(dtype), str(driver.arch(index)), str(driver.version()), str(nvrtc.version())]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def together(device: torch.device, cases: Sequence[Callable[[], dict[str, float]]]) -> dict[str, float]:
    """The errors of several cases, a thread each: what takes long is compiling, which waits for nobody."""

    def run(case: Callable[[], dict[str, float]]) -> dict[str, float]:
        with torch.no_grad(), torch.cuda.device(device):  # settings of a thread
            return case()

    with ThreadPoolExecutor(len(cases)) as threads:
        return {name: error for found in threads.map(run, cases) for name, error in found.items()}


def relative_errors(
    names: Sequence[str], found: Sequence[Tensor | None], wanted: Sequence[Tensor | None]
) -> dict[str, float]:
    """|found - wanted| / |wanted| of every pair of tensors."""
    pairs = {n: (f.double(), w.double()) for n, f, w in zip(names, found, wanted) if f is not None and w is not None}
    return {n: ((f - w).norm() / w.norm().clamp_min(1e-30)).item() for n, (f, w) in pairs.items()}
