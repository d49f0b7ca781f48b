"""The convolution in Triton: forward and backward for CUDA tensors; backward computes the activation's input again."""

# pyright: reportIndexIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops import triton_launch
from zoo.ops.causal_conv.inputs import Inputs
from zoo.ops.dispatch import Problem

name = "triton"
STEPS, BLOCK = 32, 64  # steps and channels of a program
PROGRAMS = 512  # along (sample, row) in the taps' gradient; never by device, so sums do not change


def supports(problem: Problem) -> str | None:
    return triton_launch.problem(problem.device, problem.dtype)


def forward(x: Inputs) -> Tensor:
    """y in x's dtype."""
    sequence, taps, bias, rows = _prepare(x)
    return _taps(sequence, taps, bias, rows, x.x.dtype, silu=x.silu)


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias)."""
    from zoo.ops.causal_conv.triton_kernels import tap_gradients_kernel

    sequence, taps, bias, rows = _prepare(x)
    g = gy.contiguous()
    if x.silu:
        g = _taps(sequence, taps, bias, rows, torch.float32, slope_times=g)
    # what a position sends to later steps comes back along the reversed order
    gx = _taps(g, taps, None, rows.flip(1).contiguous(), x.x.dtype)
    (batch, length, channels), (width, _) = sequence.shape, taps.shape
    programs = min(batch * rows.shape[0], PROGRAMS)
    gw = torch.empty(programs, width, channels, device=g.device)
    sizes = (*sequence.stride()[:2], batch, length, channels, *rows.shape)
    with triton_launch.on(g.device):
        grid = (programs, width, -(-channels // BLOCK))
        tap_gradients_kernel[grid](sequence, g, rows, gw, *sizes, WIDTH=width, STEPS=STEPS, BLOCK=BLOCK)
    gb = None if x.bias is None else g.sum((0, 1), dtype=torch.float32)
    return gx, gw.sum(0).flip(0).t(), gb


def _taps(
    x: Tensor, taps: Tensor, bias: Tensor | None, rows: Tensor, dtype: torch.dtype,
    silu: bool = False, slope_times: Tensor | None = None,
) -> Tensor:  # fmt: skip
    from zoo.ops.causal_conv.triton_kernels import taps_kernel

    (batch, length, channels), (count, steps) = x.shape, rows.shape
    y = torch.empty(x.shape, dtype=dtype, device=x.device)
    options = {"HAS_BIAS": bias is not None, "SILU": silu, "SLOPE": slope_times is not None}
    # x stands in for what is not read
    tensors = (x, taps, x if bias is None else bias, rows, x if slope_times is None else slope_times, y)
    sizes = (*x.stride()[:2], length, channels, count, steps)
    grid = (batch * count, -(-steps // STEPS), -(-channels // BLOCK))
    with triton_launch.on(x.device):
        taps_kernel[grid](*tensors, *sizes, WIDTH=taps.shape[0], STEPS=STEPS, BLOCK=BLOCK, **options)
    return y


def _prepare(x: Inputs) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Sequence with channel stride 1, taps (W, E) with the present step first, bias, rows of the order."""
    sequence = x.x if x.x.stride(2) == 1 else x.x.contiguous()
    bias = None if x.bias is None else x.bias.contiguous()
    rows = orders.rows(x.order, sequence.shape[1], sequence.device, torch.int32)
    return sequence, x.weight.float().t().flip(0).contiguous(), bias, rows
