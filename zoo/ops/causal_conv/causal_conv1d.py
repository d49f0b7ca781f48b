"""The convolution of the package causal-conv1d, where it is installed: to compare with, never chosen by `auto`.

Its tensors are (batch, channels, length), in either memory layout; it knows no order: an order is a gather before and a
scatter after. Backward runs the forward pass again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops.causal_conv.inputs import Inputs
from zoo.ops.dispatch import Problem

name = "causal_conv1d"
layouts = ("channel_first", "channel_last")
recomputes = True
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
WIDTHS = (2, 3, 4)
ALIGNED = 8  # channels, and strides of a channel-last tensor, must be multiples


def supports(problem: Problem) -> str | None:
    if problem.device.type != "cuda":
        return f"tensors are on {problem.device.type}"
    if problem.dtype not in DTYPES:
        return f"{problem.dtype} is not among {', '.join(map(str, DTYPES))}"
    if problem.size not in WIDTHS:
        return f"width {problem.size} is not among {', '.join(map(str, WIDTHS))}"
    return _import_problem()


def forward(x: Inputs) -> Tensor:
    """y in x's dtype."""
    y = _conv(x, *x[:3])
    return y.contiguous() if x.x.is_contiguous() else y  # channel-first tensors get a channel-first result


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias)."""
    with torch.enable_grad():
        leaves = [t if t is None else t.detach().requires_grad_() for t in x[:3]]
        y = _conv(x, *leaves)
    found = iter(torch.autograd.grad(y, [t for t in leaves if t is not None], gy))
    gx, gw, gb = (t if t is None else next(found) for t in leaves)
    return gx, gw, gb  # pyright: ignore[reportReturnType]


def _conv(x: Inputs, sequence, weight, bias) -> Tensor:
    rows = None if x.order is None else orders.rows(x.order, sequence.shape[1], sequence.device)
    taken = (sequence if rows is None else orders.take(sequence, rows)).transpose(1, 2)
    if taken.shape[1] % ALIGNED or any(taken.stride(i) % ALIGNED for i in (0, 2) if taken.stride(1) == 1):
        taken = taken.contiguous()
    weight, bias = (t if t is None else t.to(sequence.dtype) for t in (weight, bias))
    y = _function()(taken, weight, bias, activation="silu" if x.silu else None).transpose(1, 2)
    return y if rows is None else orders.put(y, rows)


def _function() -> Callable[..., Tensor]:
    from causal_conv1d import causal_conv1d_fn  # pyright: ignore[reportAttributeAccessIssue]

    return causal_conv1d_fn


@functools.cache
def _import_problem() -> str | None:
    try:
        _function()
    except ModuleNotFoundError as error:
        absent = error.name == "causal_conv1d"
        return "causal-conv1d is not installed" if absent else f"causal-conv1d cannot be imported ({error})"
    except ImportError as error:  # built for another torch
        return f"causal-conv1d cannot be imported ({error})"
    return None
