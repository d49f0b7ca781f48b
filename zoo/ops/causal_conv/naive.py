"""The truth: the depthwise causal convolution as a loop over its taps, on any device, in float64 too.

    y_t = bias + sum over k of weight_(W-1-k) x_(t-k), zero before the start of a row;   y = silu(y) if asked

`causal_conv` is differentiable by autograd; `backward` is its adjoint by hand, because autograd is off inside a custom
operator. Legend: B batch, L length, E channels, W width, R = B * rows sequences, T steps of a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.ops import order as orders
from zoo.ops.causal_conv.inputs import Inputs, working_dtype
from zoo.ops.dispatch import Problem

name = "naive"


def supports(problem: Problem) -> str | None:
    return None


def forward(x: Inputs) -> Tensor:
    return causal_conv(*x)


def causal_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, order: Tensor | None = None, silu: bool = False
) -> Tensor:
    """The definition, tap by tap; arguments as in `zoo.ops.causal_conv`."""
    rows, x_RTE, weight, bias = _prepare(Inputs(x, weight, bias, order, silu))
    y = _taps(x_RTE, weight, bias)
    return orders.put(F.silu(y) if silu else y, rows).to(x.dtype)


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias), in the working precision."""
    rows, x_RTE, weight, bias = _prepare(x)
    g = orders.take(gy.to(x_RTE.dtype), rows)
    if x.silu:
        y = _taps(x_RTE, weight, bias)
        s = y.sigmoid()
        g = g * s * (1 + y * (1 - s))
    gx, gw = torch.zeros_like(x_RTE), torch.zeros_like(weight)
    width, steps = weight.shape[1], g.shape[1]
    for k in range(min(width, steps)):
        gx[:, : steps - k] += weight[:, width - 1 - k] * g[:, k:]
        gw[:, width - 1 - k] = (g[:, k:] * x_RTE[:, : steps - k]).sum((0, 1))
    return orders.put(gx, rows), gw, None if bias is None else g.sum((0, 1))


def _prepare(x: Inputs) -> tuple[Any, ...]:
    rows = orders.rows(x.order, x.x.shape[1], x.x.device)
    sequence, weight, bias = (t if t is None else t.to(working_dtype(x.x)) for t in x[:3])
    return rows, orders.take(sequence, rows), weight, bias


def _taps(x_RTE: Tensor, weight_EW: Tensor, bias_E: Tensor | None) -> Tensor:
    width, steps = weight_EW.shape[1], x_RTE.shape[1]
    padded = F.pad(x_RTE, (0, 0, width - 1, 0))
    y = sum(padded[:, i : i + steps] * weight_EW[:, i] for i in range(width))
    return y if bias_E is None else y + bias_E
