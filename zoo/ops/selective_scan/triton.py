"""The scan in Triton: forward and backward for CUDA tensors; backward recomputes from states kept every CHUNK steps."""

# pyright: reportIndexIssue=false

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops import triton_launch
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan.inputs import Inputs

name = "triton"
CHUNK = 32  # steps between kept states
BLOCK = 32  # channels of a program: the lanes of a warp
PROGRAMS = 2048  # of backward at most: bounds its scratch to 128 MiB at state 16; not by device, so sums stay the same
LARGEST_STATE = 64


def supports(problem: Problem) -> str | None:
    if problem.size > LARGEST_STATE:
        return f"state {problem.size} is above {LARGEST_STATE}"
    return triton_launch.problem(problem.device, problem.dtype)


def states_shape(x: Inputs) -> tuple[int, ...]:
    (batch, length, channels), state = x.u.shape, x.A.shape[1]
    return (batch, x.rows, -(-(length // x.rows) // CHUNK), state, channels)


def forward(x: Inputs, save: bool) -> tuple[Tensor, Tensor]:
    """y in u's dtype, and the states of `states_shape` (none unless `save`)."""
    from zoo.ops.selective_scan.triton_kernels import forward_kernel

    tensors, strides, sizes, options = _prepare(x)
    y = torch.empty(x.u.shape, dtype=x.u.dtype, device=x.u.device)
    states = torch.empty(states_shape(x) if save else (0,), dtype=torch.float32, device=x.u.device)
    grid = (x.u.shape[0] * sizes[3], -(-x.u.shape[2] // BLOCK))
    with triton_launch.on(x.u.device):
        forward_kernel[grid](*tensors, y, states, *strides, *sizes, SAVE=save, **options)
    return y, states


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias)."""
    from zoo.ops.selective_scan.triton_kernels import backward_kernel

    tensors, strides, sizes, options = _prepare(x)
    (batch, length, channels), state = x.u.shape, x.A.shape[1]
    blocks = -(-channels // BLOCK)
    programs = min(batch * sizes[3], max(1, PROGRAMS // blocks))

    def new(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=x.u.device)

    kept = new(programs * blocks * CHUNK * options["N"] * BLOCK)
    gu, gdt = new(*x.u.shape, dtype=x.u.dtype), new(*x.u.shape, dtype=x.dt.dtype)
    gz = None if x.z is None else new(*x.u.shape, dtype=x.z.dtype)
    gA, gB, gC = new(programs, state, channels), new(blocks, batch, length, state), new(blocks, batch, length, state)
    gD, gbias = new(programs, channels), new(programs, channels)
    outputs = (kept, gu, gdt, gu if gz is None else gz, gA, gB, gC, gD, gbias)
    with triton_launch.on(x.u.device):
        sizes = (batch, *sizes)
        backward_kernel[(programs, blocks)](*tensors, gy.contiguous(), states, *outputs, *strides, *sizes, **options)
    gD, gbias = (None if t is None else g.sum(0) for t, g in ((x.D, gD), (x.dt_bias, gbias)))
    return gu, gdt, gA.sum(0).t(), gB.sum(0), gC.sum(0), gD, gz, gbias


def _prepare(x: Inputs) -> tuple[list[Tensor], list[int], tuple[int, ...], dict[str, Any]]:
    """Tensors, strides, sizes and compile-time options as the kernels read them."""
    z = x.u if x.z is None else x.z  # u stands in for what is not read
    u, dt, z, B, C = (t if t.stride(2) == 1 else t.contiguous() for t in (x.u, x.dt, z, x.B, x.C))
    strides = [t.stride(i) for t in (u, dt, z, B, C) for i in (0, 1)]
    rows = orders.rows(x.order, u.shape[1], u.device, torch.int32)
    D, bias = (u if t is None else t.contiguous() for t in (x.D, x.dt_bias))
    tensors = [u, dt, x.A.float().contiguous(), B, C, D, z, bias, rows]
    state, steps = x.A.shape[1], rows.shape[1]
    sizes = (u.shape[1], u.shape[2], state, rows.shape[0], steps, -(-steps // CHUNK))
    padded = 1 << (state - 1).bit_length()
    options = {"HAS_D": x.D is not None, "HAS_Z": x.z is not None, "HAS_BIAS": x.dt_bias is not None}
    options |= {"SOFTPLUS": x.softplus, "ZOH": x.zoh, "N": padded, "BLOCK": BLOCK, "CHUNK": CHUNK}
    return tensors, strides, sizes, options | {"num_warps": max(1, padded // 16)}
