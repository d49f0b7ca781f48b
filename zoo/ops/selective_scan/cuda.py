"""The scan in CUDA C++ (see the .cu files): Ampere or newer, up to 64 states, any strides with channel stride 1."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoo.ops.cuda import driver, selftest
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan import cuda_plan as plan
from zoo.ops.selective_scan import naive
from zoo.ops.selective_scan.inputs import Inputs

name = "cuda"
FOLDER = Path(__file__).parent
MAX_STATE = 64
MAX_SEQUENCES = 65535  # of a grid's second dimension


def supports(problem: Problem) -> str | None:
    if reason := driver.unfit(problem.device, problem.dtype):
        return reason
    if problem.size > MAX_STATE:
        return f"{problem.size} states, more than {MAX_STATE}"
    return selftest.verdict("selective_scan", FOLDER, problem.dtype, problem.device, _self_test)


def states_shape(x: Inputs) -> tuple[int, ...]:
    (batch, length, channels), state = x.u.shape, x.A.shape[1]
    rows = 1 if x.order is None or x.order.ndim == 1 else x.order.shape[0]
    return (batch * rows, -(-(length // rows) // plan.CHECKPOINT), channels, state)


def states_dtype(x: Inputs) -> torch.dtype:
    """Of kept states: bfloat16 beside tensors that are bfloat16 themselves."""
    return torch.bfloat16 if plan.dtype(x) == torch.bfloat16 else torch.float32


def forward(x: Inputs, save: bool, into: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """y in u's dtype, and the states every CHECKPOINT steps (none unless `save`).

    `into` is where y may go: contiguous, like u, and possibly u itself.
    """
    dtype, x = x.u.dtype, plan.uniform(x)
    y = torch.empty(x.u.shape, dtype=x.u.dtype, device=x.u.device) if into is None or into.dtype != x.u.dtype else into
    states = torch.empty(states_shape(x) if save else (0,), dtype=states_dtype(x), device=x.u.device)
    rows = 1 if x.order is None or x.order.ndim == 1 else x.order.shape[0]
    if x.u.numel():
        with torch.cuda.device(x.u.device):
            for samples in plan.slices(x.u.shape[0], rows, MAX_SEQUENCES):
                part = states[samples.start * rows : samples.stop * rows] if save else None
                _forward(plan.Call(plan.narrow(x, samples)), y[samples], part)
    return y.to(dtype), states


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias)."""
    x = plan.uniform(x)
    gdt, gz = (None if t is None else torch.empty(x.u.shape, dtype=x.u.dtype, device=x.u.device) for t in (x.dt, x.z))
    return _gradients(x, states, gy.to(x.u.dtype).contiguous(), gdt, gz, None)


def backward_in_place(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """As `backward`, over gy, dt and z: they become y once more, and their own gradients.

    All tensors have one dtype, gy, dt and z are contiguous, and there is a gate.
    """
    return _gradients(plan.uniform(x), states, gy, x.dt, x.z, gy)


def _gradients(x: Inputs, states: Tensor, gy: Tensor, gdt: Tensor | None, gz: Tensor | None,
               y: Tensor | None) -> tuple[Tensor | None, ...]:  # fmt: skip
    rows = 1 if x.order is None or x.order.ndim == 1 else x.order.shape[0]
    gu, gB, gC = (torch.empty(t.shape, dtype=x.u.dtype, device=x.u.device) for t in (x.u, x.B, x.C))
    channels = len(x.A)
    parts = [] if x.u.numel() else [[torch.zeros_like(x.A), x.A.new_zeros(channels), x.A.new_zeros(channels)]]
    with torch.cuda.device(x.u.device):
        for samples in plan.slices(x.u.shape[0] if x.u.numel() else 0, rows, MAX_SEQUENCES):
            call = plan.Call(plan.narrow(x, samples), gy[samples])
            outputs = [None if t is None else t[samples] for t in (gu, gdt, gz, gB, gC, y)]
            parts.append(_backward(call, states[samples.start * rows : samples.stop * rows], outputs))
    gA, gD, gbias = parts[0] if len(parts) == 1 else map(sum, zip(*parts))
    gD, gbias = (g if t is not None else None for t, g in ((x.D, gD), (x.dt_bias, gbias)))
    return gu, gdt, gA, gB, gC, gD, gz, gbias


def _forward(c: plan.Call, y: Tensor, states: Tensor | None) -> None:
    shape = plan.forward_shape(c)
    steps = -(-c.steps // shape.chunks // shape.STEPS) * shape.STEPS
    chunks = -(-c.steps // steps)
    h_in = _carry(c, 0, chunks, steps) if chunks > 1 else None
    partial = torch.empty(c.positions, c.channels, dtype=torch.float32, device=y.device) if c.groups > 1 else None
    grid = (-(-c.channels // shape.CHANNELS), c.sequences, chunks)
    for i in range(c.groups):
        macros = c.macros(i) | shape.macros()
        run, stream = driver.kernel(FOLDER / "scan_forward.cu", "scan_forward", macros, shape.shared(c), y.device)
        tensors = (c.u, c.dt, c.z, c.B, c.C, c.A, c.D, c.bias, c.order, y, states, partial, h_in)
        sizes = (c.steps, c.rows, c.channels, 16 * i, c.A_kind, c.D_kind, c.bias_kind, steps // shape.STEPS)
        run(grid, shape.threads, driver.pack("13P5q6i8i", *tensors, *c.batch_strides, *c.row_bytes, *sizes), stream)


def _backward(c: plan.Call, states: Tensor, outputs: list[Tensor | None]) -> list[Tensor]:
    """Fill (gu, gdt, gz, gB, gC, y); return dA, dD, dbias."""
    shape = plan.backward_shape(c)
    steps = -(-c.steps // shape.chunks // plan.CHECKPOINT) * plan.CHECKPOINT
    chunks = -(-c.steps // steps)
    g_in = _carry(c, 1, chunks, steps) if chunks > 1 else None
    grid = (-(-c.channels // shape.CHANNELS), c.sequences, chunks)
    new = lambda *size: torch.empty(size, dtype=torch.float32, device=states.device)  # noqa: E731
    by_block, by_chunk = new(c.positions, grid[0], 32), new(c.sequences * chunks, c.channels * 18)
    partial = new(3, c.positions, c.channels) if c.groups > 1 else None
    gu, gdt, gz, gB, gC, y = outputs
    found = []
    for i in range(c.groups):
        macros = c.macros(i) | shape.macros() | {"AGAIN": int(y is not None)}
        run, stream = driver.kernel(
            FOLDER / "scan_backward.cu", "scan_backward", macros, shape.shared(c), states.device
        )
        tensors = (
            c.u,
            c.dt,
            c.z,
            c.B,
            c.C,
            c.gy,
            c.A,
            c.D,
            c.bias,
            c.order,
            states,
            g_in,
            gu,
            gdt,
            gz,
            y,
            by_block,
            by_chunk,
            partial,
        )
        sizes = (c.steps, c.rows, c.channels, 16 * i, c.A_kind, c.D_kind, c.bias_kind, steps // plan.CHECKPOINT)
        run(grid, shape.threads, driver.pack("19P5q6i8i", *tensors, *c.batch_strides, *c.row_bytes, *sizes), stream)
        macros = {"IO_KIND": c.kind, "STATE": c.state, "ZOH": int(c.zoh)}
        run, stream = driver.kernel(FOLDER / "scan_reduce.cu", "reduce_blocks", macros, 0, states.device)
        run(
            (-(-c.positions // 8), 1, 1),
            256,
            driver.pack("3Pq2i", by_block, gB, gC, c.positions, grid[0], 16 * i),
            stream,
        )
        found.append(driver.sum_rows(by_chunk, (16 * c.channels, c.channels, c.channels)))
    gA = [f[0].view(c.channels, 16) for f in found]
    return [gA[0] if c.state == 16 else torch.cat(gA, 1)[:, : c.state], *found[-1][1:]]


def _carry(c: plan.Call, reverse: int, chunks: int, steps: int) -> Tensor:
    """What enters each chunk: the state, or its adjoint."""
    carry = torch.empty(c.sequences, chunks, c.channels, c.state, dtype=torch.float32, device=c.u.device)
    decay = torch.empty(carry.shape[:3], dtype=torch.float32, device=c.u.device)
    macros = {k: v for k, v in c.macros(0).items() if k not in ("GROUP", "VECTOR")} | {"REVERSE": reverse}
    tensors = (c.u, c.dt, c.z, c.B, c.C, c.gy, c.A, c.bias, c.order, carry, decay, *c.batch_strides, *c.row_strides)
    kernels = [
        driver.kernel(FOLDER / "scan_carry.cu", k, macros, 0, c.u.device) for k in ("carry_chunks", "carry_scan")
    ]
    for i in range(c.groups):
        sizes = (c.steps, c.rows, c.channels, 16 * i, c.A_kind, c.bias_kind, steps, chunks)
        params = driver.pack("11P5q5i8i", *tensors, *sizes)
        kernels[0][0]((-(-c.channels // 32), c.sequences, chunks - 1), 256, params, kernels[0][1])
    kernels[1][0]((-(-c.channels * c.state // 256), c.sequences, 1), 256, params, kernels[1][1])
    return carry


def _self_test(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Errors of y and all gradients against naive: an odd shape, both kinds of order, a tile and a bit."""
    generator = torch.Generator(device).manual_seed(0)
    new = lambda *size: torch.randn(*size, device=device, generator=generator)  # noqa: E731
    batch, length, channels, state = 2, 38, 72, 16
    u, dt, z, gy = (new(batch, length, channels).to(dtype) for _ in range(4))
    B, C = (new(batch, length, state).to(dtype) for _ in range(2))
    A, D, bias = -new(channels, state).exp(), new(channels), new(channels) - 2
    errors = {}
    for label, order in (("", None), (" in order", torch.randperm(length, device=device, generator=generator).int())):
        x = Inputs(u, dt, A, B, C, D, z, bias, order, True, False)
        y, states = forward(x, True)
        wanted = naive.selective_scan(*(t.float() for t in (u, dt, A, B, C, D, z, bias)), order=order)
        names = [n + label for n in ("y", "du", "ddt", "dA", "dB", "dC", "dD", "dz", "dbias")]
        found = (y, *backward(x, states, gy))
        errors |= selftest.relative_errors(names, found, (wanted, *naive.backward(x, states, gy)))
    return errors
