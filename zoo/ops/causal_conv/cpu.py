"""The convolution on the CPU: numba kernels over our own threads; the activation is torch's, in place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.ops import jit, threads
from zoo.ops import order as orders
from zoo.ops.causal_conv.inputs import Inputs, working_dtype
from zoo.ops.dispatch import Problem
from zoo.ops.order import flat

name = "cpu"


def supports(problem: Problem) -> str | None:
    if problem.device.type != "cpu":
        return f"tensors are on {problem.device.type}"
    return jit.problem()


def forward(x: Inputs) -> Tensor:
    """y in x's dtype."""
    y = _taps(*_prepare(x))
    return (F.silu(y, inplace=True) if x.silu else y).to(x.x.dtype)


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias), in the working precision."""
    from zoo.ops.causal_conv import cpu_kernels as kernels

    sequence, taps, bias, rows = _prepare(x)
    g = gy.to(sequence.dtype).contiguous()
    if x.silu:
        g = torch.ops.aten.silu_backward(g, _taps(sequence, taps, bias, rows))
    # what a position sends to later steps comes back along the reversed order
    gx = _taps(g, taps, torch.zeros_like(bias), rows.flip(1).contiguous())
    (batch, length, channels), (width, _) = sequence.shape, taps.shape
    gw = taps.new_zeros(batch, width, channels)
    sizes = (length, channels, width, rows.shape[0])
    arrays = (flat(sequence), flat(g), flat(rows), gw.numpy(), sequence.stride()[:2], sizes)
    threads.run(kernels.tap_gradients, batch * -(-channels // kernels.WIDE), *arrays)
    return gx, gw.sum(0).flip(0).t(), None if x.bias is None else g.sum((0, 1))


def _taps(sequence: Tensor, taps: Tensor, bias: Tensor, rows: Tensor) -> Tensor:
    from zoo.ops.causal_conv import cpu_kernels as kernels

    (batch, length, channels), (width, _) = sequence.shape, taps.shape
    y = torch.empty(sequence.shape, dtype=sequence.dtype)
    sizes = (length, channels, width, rows.shape[0])
    arrays = (flat(sequence), taps.numpy(), flat(bias), flat(rows), flat(y), sequence.stride()[:2], sizes)
    threads.run(kernels.taps, batch * -(-channels // kernels.WIDE), *arrays)
    return y


def _prepare(x: Inputs) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sequence with channel stride 1, taps (W, E) with the present step first, bias, rows of the order."""
    dtype = working_dtype(x.x)
    sequence, weight = x.x.detach().to(dtype), x.weight.detach().to(dtype)
    sequence = sequence if sequence.stride(2) == 1 else sequence.contiguous()
    bias = weight.new_zeros(weight.shape[0]) if x.bias is None else x.bias.detach().to(dtype).contiguous()
    return sequence, weight.t().flip(0).contiguous(), bias, orders.rows(x.order, sequence.shape[1], sequence.device)
