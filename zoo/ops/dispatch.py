"""Which backend runs an operator: the first of its table that can, or the one asked for by name.

A backend is a file `zoo/ops/<operator>/<name>.py` with `name`, `supports(problem) -> None | why not`, `forward` and
`backward`; one that takes several directions in one launch has `together(inputs)` (see `directions.py`). To add one:
write the file, then its line here. A peer's file says also, for zoo-bench, which memory `layouts` its library takes
without a copy, and that its backward `recomputes` the forward pass.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from types import ModuleType
from typing import NamedTuple

import torch

from zoo.errors import BackendError

BACKENDS: dict[str, tuple[str, ...]] = {  # best first; naive last, because it can do everything, slowly
    "selective_scan": (
        "cpu",
        "cuda",
        "triton",
        "naive",
    ),
    "causal_conv": (
        "cpu",
        "cuda",
        "triton",
        "naive",
    ),
}
PEERS: dict[str, tuple[str, ...]] = {  # other people's kernels, to compare with: only ever by name
    "selective_scan": ("mamba_ssm",),
    "causal_conv": ("causal_conv1d",),
}


class Problem(NamedTuple):
    """What a backend may base its answer on; strides and values it may not, so that tracing agrees with running."""

    device: torch.device
    dtype: torch.dtype
    size: int  # state size of a scan, width of a convolution


class Row(NamedTuple):
    """One line of `report`."""

    op: str
    backend: str
    status: str  # chosen, available or unavailable
    reason: str


def names(op: str) -> tuple[str, ...]:
    """Every backend of an operator, best first, peers last."""
    return (*BACKENDS[op], *PEERS.get(op, ()))


@functools.cache
def load(op: str, name: str) -> ModuleType:
    """The module of a backend."""
    if name not in names(op):
        raise BackendError(f"no backend {name!r}", where=f"zoo.ops.{op}", allowed=("auto", *names(op)), given=name)
    return importlib.import_module(f"zoo.ops.{op}.{name}")


def choose(op: str, problem: Problem, backend: str = "auto") -> ModuleType:
    """The backend to run.

    Args:
        op: operator name.
        problem: device, dtype and size of the call.
        backend: "auto", or a name that must then do the job. ZOO_<OP>_BACKEND in the environment replaces "auto".

    Raises:
        BackendError: the backend asked for does not exist or cannot do this; the message has its reason.
    """
    backend = _requested(op) if backend == "auto" else backend
    if backend != "auto":
        module = load(op, backend)
        if reason := module.supports(problem):
            what = f"backend {backend!r} cannot run here: {reason}"
            raise BackendError(what, where=f"zoo.ops.{op}", fix="use backend='auto'")
        return module
    refusals = []
    for name in BACKENDS[op]:
        module = load(op, name)
        reason = module.supports(problem)
        if reason is None:
            break
        refusals.append(f"{name}: {reason}")
    if name == "naive":
        _warn_slow(op, problem.device.type, "; ".join(refusals))
    return module


def report(device: str | torch.device = "cpu") -> list[Row]:
    """Every operator's backends on a device, best first: for zoo-doctor and the first lines of a training run."""
    on = torch.device(device)
    dtype = torch.bfloat16 if on.type == "cuda" else torch.float32
    rows = []
    for op in BACKENDS:
        problem = Problem(on, dtype, 4 if op == "causal_conv" else 16)
        wanted, chosen = _requested(op), False
        for name in names(op):
            reason = load(op, name).supports(problem)
            status = "unavailable" if reason else "available"
            offered = wanted == name or (wanted == "auto" and name in BACKENDS[op])
            if not reason and not chosen and offered:
                status, chosen = "chosen", True
            rows.append(Row(op, name, status, reason or ("slow reference loop" if name == "naive" else "")))
    return rows


def _requested(op: str) -> str:
    return os.environ.get(f"ZOO_{op.upper()}_BACKEND", "auto")


@functools.cache  # once per operator, device and reason
def _warn_slow(op: str, device: str, refusals: str) -> None:
    warnings.warn(f"zoo.ops.{op} runs as a slow reference loop on {device} ({refusals})", RuntimeWarning, stacklevel=4)
