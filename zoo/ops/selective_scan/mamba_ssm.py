"""The scan of the package mamba-ssm, where it is installed: to compare with, never chosen by `auto`.

Its tensors are channel-first, (batch, channels, length) and (batch, 1, state, length), and it knows no order: an order
is a gather before and a scatter after. Backward runs the forward pass again: the package keeps its states to itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.errors import BackendError
from zoo.ops import order as orders
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan.inputs import Inputs

name = "mamba_ssm"
layouts = ("channel_first",)
recomputes = True
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
LARGEST_STATE = 256


def supports(problem: Problem) -> str | None:
    if problem.device.type != "cuda":
        return f"tensors are on {problem.device.type}"
    if problem.dtype not in DTYPES:
        return f"{problem.dtype} is not among {', '.join(map(str, DTYPES))}"
    if problem.size > LARGEST_STATE:
        return f"state {problem.size} is above {LARGEST_STATE}"
    return _import_problem()


def states_shape(x: Inputs) -> tuple[int, ...]:
    return (0,)


def forward(x: Inputs, save: bool) -> tuple[Tensor, Tensor]:
    """y in u's dtype; nothing is kept.

    Raises: BackendError for zero-order hold, which the package does not have.
    """
    y = _scan(x, *x[:8])
    y = y.contiguous() if x.u.is_contiguous() else y  # channel-first tensors get a channel-first result
    return y, y.new_empty(0, dtype=torch.float32)


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias)."""
    with torch.enable_grad():
        leaves = [t if t is None else t.detach().requires_grad_() for t in x[:8]]
        y = _scan(x, *leaves)
    found = iter(torch.autograd.grad(y, [t for t in leaves if t is not None], gy))
    return tuple(t if t is None else next(found) for t in leaves)


def _scan(x: Inputs, u, dt, A, B, C, D, z, dt_bias) -> Tensor:
    if x.zoh:
        raise BackendError("mamba-ssm knows only the euler step, not zoh", where="zoo.ops.selective_scan",
                           fix="use backend='auto'")
    rows = None if x.order is None else orders.rows(x.order, u.shape[1], u.device)
    u, dt, z, B, C = (t if t is None or rows is None else orders.take(t, rows) for t in (u, dt, z, B, C))
    u, dt, z = (t if t is None else t.to(x.u.dtype).transpose(1, 2) for t in (u, dt, z))
    B, C = (t.to(x.u.dtype).transpose(1, 2).unsqueeze(1) for t in (B, C))  # pyright: ignore[reportOptionalMemberAccess]
    D, dt_bias = (t if t is None else t.float() for t in (D, dt_bias))
    y = _function()(u, dt, A.float(), B, C, D, z, dt_bias, x.softplus)
    y = y.transpose(1, 2)
    return y if rows is None else orders.put(y, rows)


def _function() -> Callable[..., Tensor]:
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    return selective_scan_fn


@functools.cache
def _import_problem() -> str | None:
    try:
        _function()
    except ModuleNotFoundError as error:
        return "mamba-ssm is not installed" if error.name == "mamba_ssm" else f"mamba-ssm cannot be imported ({error})"
    except ImportError as error:  # built for another torch
        return f"mamba-ssm cannot be imported ({error})"
    return None
