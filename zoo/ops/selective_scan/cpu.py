"""The scan on the CPU: numba kernels over our own threads; backward recomputes from states kept every CHUNK steps."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from zoo.ops import jit, threads
from zoo.ops import order as orders
from zoo.ops.dispatch import Problem
from zoo.ops.order import flat
from zoo.ops.selective_scan.inputs import Inputs, working_dtype

name = "cpu"
CHUNK = 32  # the kernels' own; repeated because a shape must be known before numba is imported


def supports(problem: Problem) -> str | None:
    if problem.device.type != "cpu":
        return f"tensors are on {problem.device.type}"
    return jit.problem()


def states_shape(x: Inputs) -> tuple[int, ...]:
    (batch, length, channels), state = x.u.shape, x.A.shape[1]
    return (batch, x.rows, -(-(length // x.rows) // CHUNK), state, channels)


def forward(x: Inputs, save: bool) -> tuple[Tensor, Tensor]:
    """y in u's dtype, and the states of `states_shape` (none unless `save`)."""
    from zoo.ops.selective_scan import cpu_kernels as kernels

    arrays, strides, sizes, flags = _prepare(x, save)
    y = torch.empty(x.u.shape, dtype=working_dtype(x.u))
    states = torch.empty(states_shape(x) if save else (0,), dtype=y.dtype)
    units = x.u.shape[0] * -(-x.u.shape[2] // kernels.WIDE)
    threads.run(kernels.forward, units, *arrays, flat(y), flat(states), strides, sizes, flags)
    return y.to(x.u.dtype), states


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias), in the working precision."""
    from zoo.ops.selective_scan import cpu_kernels as kernels

    arrays, strides, sizes, flags = _prepare(x, True)
    batch, length, channels, state, _ = sizes
    blocks = -(-channels // kernels.WIDE)
    new = functools.partial(torch.empty, dtype=states.dtype)
    gu, gdt, gz = new(x.u.shape), new(x.u.shape), new(x.u.shape if x.z is not None else (0,))
    gA, gB, gC = new(batch, state, channels), new(blocks, batch, length, state), new(blocks, batch, length, state)
    gD, gbias = new(batch, channels).zero_(), new(batch, channels).zero_()
    outputs = [flat(t) for t in (gy.to(states.dtype).contiguous(), states, gu, gdt, gz, gA, gB, gC, gD, gbias)]
    threads.run(kernels.backward, batch * blocks, *arrays, *outputs, strides, sizes, flags)
    gz, gD, gbias = (g if t is not None else None for t, g in ((x.z, gz), (x.D, gD.sum(0)), (x.dt_bias, gbias.sum(0))))
    return gu, gdt, gA.sum(0).t(), gB.sum(0), gC.sum(0), gD, gz, gbias


def _prepare(x: Inputs, save: bool) -> tuple[list[np.ndarray], tuple[int, ...], tuple[int, ...], tuple[bool, ...]]:
    """Arrays, strides, sizes and flags as the kernels read them; copies only what another dtype or stride forces."""
    dtype = working_dtype(x.u)
    sequences = [t if t is None else t.detach().to(dtype) for t in (x.u, x.dt, x.z, x.B, x.C)]
    sequences = [t if t is None or t.stride(2) == 1 else t.contiguous() for t in sequences]
    strides = tuple(0 if t is None else t.stride(i) for t in sequences for i in (0, 1))
    A = x.A.detach().to(dtype)
    A2 = (A * math.log2(math.e)).t().contiguous().numpy()
    u, dt, z, B, C = (A2[0, :0] if t is None else flat(t) for t in sequences)
    vectors = (A.new_zeros(A.shape[0]) if t is None else t.detach().to(dtype) for t in (x.D, x.dt_bias))
    D, bias = (flat(t.contiguous()) for t in vectors)
    rows = orders.rows(x.order, x.u.shape[1], x.u.device)
    sizes = (*x.u.shape, A.shape[1], rows.shape[0])
    return [u, dt, z, B, C, A2, D, bias, flat(rows)], strides, sizes, (x.softplus, x.zoh, x.z is not None, save)
