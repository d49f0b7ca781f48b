"""The scan in CUDA C++ (see the .cu files): Ampere or newer, up to 64 states, any strides with channel stride 1."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from zoo.ops import directions
from zoo.ops.cuda import driver, selftest
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan import cuda_plan as plan
from zoo.ops.selective_scan import naive
from zoo.ops.selective_scan.inputs import NDIM, Inputs

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
    batch, length, channels = x.u.shape[-3:]
    return (batch * x.rows, -(-(length // x.rows) // plan.CHECKPOINT), channels, x.A.shape[-1])


def together(x: Inputs) -> bool:
    """Whether one launch takes all directions of a call."""
    return 0 < directions.count(x.order) * x.u.shape[-3] * x.rows <= MAX_SEQUENCES and x.u.numel() > 0


def states_dtype(x: Inputs) -> torch.dtype:
    """Of kept states: bfloat16 beside tensors that are bfloat16 themselves."""
    return torch.bfloat16 if plan.dtype(x) == torch.bfloat16 else torch.float32


def forward(x: Inputs, save: bool, into: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """y in u's dtype, and the states every CHECKPOINT steps (none unless `save`).

    `into` is where y may go, if there are no directions: contiguous, like u, and possibly u itself.
    """
    dtype, x, rows = x.u.dtype, plan.uniform(x), x.rows
    ways = directions.count(x.order)
    front = (ways,) if ways else ()
    shape = (*front, *x.u.shape[-3:])
    if into is not None and into.dtype == x.u.dtype:
        y = into
    else:
        y = torch.empty(shape, dtype=x.u.dtype, device=x.u.device)
    kept = (*front, *states_shape(x)) if save else (0,)
    states = torch.empty(kept, dtype=states_dtype(x), device=x.u.device)
    with torch.cuda.device(x.u.device):
        if ways:
            _forward(plan.Call(x), y, states if save else None)
            return directions.add(y).to(dtype), states
        for samples in plan.slices(x.u.shape[0] if x.u.numel() else 0, rows, MAX_SEQUENCES):
            part = states[samples.start * rows : samples.stop * rows] if save else None
            _forward(plan.Call(plan.narrow(x, samples)), y[samples], part)
    return y.to(dtype), states


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias)."""
    x = plan.uniform(x)
    shape = (directions.count(x.order) or 1, *x.u.shape[-3:])
    gdt, gz = (None if t is None else torch.empty(shape, dtype=x.u.dtype, device=x.u.device) for t in (x.dt, x.z))
    if not directions.count(x.order):
        gdt, gz = (None if t is None else t[0] for t in (gdt, gz))
    return _gradients(x, states, gy.to(x.u.dtype).contiguous(), gdt, gz, None)


def backward_in_place(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """As `backward`, over gy, dt and z: they become y once more, and their own gradients.

    All tensors have one dtype, gy, dt and z are contiguous, there is a gate, and there are no directions.
    """
    return _gradients(plan.uniform(x), states, gy, x.dt, x.z, gy)


def _gradients(x: Inputs, states: Tensor, gy: Tensor, gdt: Tensor | None, gz: Tensor | None,
               y: Tensor | None) -> tuple[Tensor | None, ...]:  # fmt: skip
    rows, ways = x.rows, directions.count(x.order)
    front = (ways,) if ways else ()
    gu, gB, gC = (torch.empty((*front, *t.shape[-3:]), dtype=x.u.dtype, device=x.u.device) for t in (x.u, x.B, x.C))
    outputs = (gu, gdt, gz, gB, gC, y)
    with torch.cuda.device(x.u.device):
        if ways:
            gA, gD, gbias = _backward(plan.Call(x, gy), states, outputs)
            found = (gu, gdt, gA, gB, gC, gD, gz, gbias)
            found = (g if own or g is None else directions.add(g) for own, g in zip(directions.own(x, NDIM), found))
        else:
            channels = len(x.A)
            parts = [] if x.u.numel() else [[torch.zeros_like(x.A)[None], *x.A.new_zeros(2, 1, channels)]]
            for samples in plan.slices(x.u.shape[0] if x.u.numel() else 0, rows, MAX_SEQUENCES):
                call = plan.Call(plan.narrow(x, samples), gy[samples])
                of = [None if t is None else t[samples] for t in outputs]
                parts.append(_backward(call, states[samples.start * rows : samples.stop * rows], of))
            gA, gD, gbias = (directions.add([one[0] for one in g]) for g in zip(*parts))
            found = (gu, gdt, gA, gB, gC, gD, gz, gbias)
    return tuple(None if t is None else g for t, g in zip(x[:8], found))


def _forward(c: plan.Call, y: Tensor, states: Tensor | None) -> None:
    shape = plan.forward_shape(c)
    steps = -(-c.steps // shape.chunks // shape.STEPS) * shape.STEPS
    chunks = -(-c.steps // steps)
    h_in = _carry(c, 0, chunks, steps) if chunks > 1 else None
    partial = torch.empty(c.positions, c.channels, dtype=torch.float32, device=y.device) if c.groups > 1 else None
    layout, following = c.next
    grid = (-(-c.channels // shape.CHANNELS), c.sequences, chunks)
    for i in range(c.groups):
        macros = c.macros(i) | shape.macros()
        run, stream = driver.kernel(FOLDER / "scan_forward.cu", "scan_forward", macros, shape.shared(c), y.device)
        tensors = (c.u, c.dt, c.z, c.B, c.C, c.A, c.D, c.bias, c.order, y, states, partial, h_in)
        sizes = (c.steps, c.rows, c.channels, 16 * i, c.A_kind, c.D_kind, c.bias_kind, steps // shape.STEPS)
        values = (*tensors, *c.batch_strides, *c.row_bytes, *sizes, *following)
        run(grid, shape.threads, driver.pack("13P5q6i8i" + layout, *values), stream)


def _backward(c: plan.Call, states: Tensor, outputs: Sequence[Tensor | None]) -> list[Tensor]:
    """Fill (gu, gdt, gz, gB, gC, y); return dA, dD, dbias, each by direction if some direction has its own of any."""
    shape = plan.backward_shape(c)
    steps = -(-c.steps // shape.chunks // plan.CHECKPOINT) * plan.CHECKPOINT
    chunks = -(-c.steps // steps)
    g_in = _carry(c, 1, chunks, steps) if chunks > 1 else None
    grid = (-(-c.channels // shape.CHANNELS), c.sequences, chunks)
    new = lambda *size: torch.empty(size, dtype=torch.float32, device=states.device)  # noqa: E731
    by_block, by_chunk = new(c.positions, grid[0], 32), new(c.sequences * chunks, c.channels * 18)
    partial = new(3, c.positions, c.channels) if c.groups > 1 else None
    gu, gdt, gz, gB, gC, y = outputs
    layout, following = c.next
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
        values = (*tensors, *c.batch_strides, *c.row_bytes, *sizes, *following)
        run(grid, shape.threads, driver.pack("19P5q6i8i" + layout, *values), stream)
        macros = {"IO_KIND": c.kind, "STATE": c.state, "ZOH": int(c.zoh)}
        run, stream = driver.kernel(FOLDER / "scan_reduce.cu", "scan_reduce", macros, 0, states.device)
        sums = [new(c.sums, c.channels, 16), new(c.sums, c.channels), new(c.sums, c.channels)]
        by_position, by_column = -(-c.positions // 8), -(-c.channels * 18 // 32)
        sizes = (c.positions, grid[0], 16 * i, len(by_chunk) // c.sums, c.channels, by_position, by_column)
        params = driver.pack("7P7i", by_block, by_chunk, gB, gC, *sums, *sizes)
        run((by_position + c.sums * by_column, 1, 1), 256, params, stream)
        found.append(sums)
    gA = [sums[0] for sums in found]
    return [gA[0] if c.state == 16 else torch.cat(gA, 2)[..., : c.state], *found[-1][1:]]


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
        params = driver.pack("11P5q5i8i" + c.next[0], *tensors, *sizes, *c.next[1])
        kernels[0][0]((-(-c.channels // 32), c.sequences, chunks - 1), 256, params, kernels[0][1])
    kernels[1][0]((-(-c.channels * c.state // 256), c.sequences, 1), 256, params, kernels[1][1])
    return carry


def _self_test(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Errors of y and all gradients against naive: an odd shape; no order, one, and two directions; many sequences."""
    generator = torch.Generator(device).manual_seed(0)
    new = lambda *size: torch.randn(*size, device=device, generator=generator)  # noqa: E731
    channels, state = 72, 16
    A, D, bias = -new(channels, state).exp(), new(channels), new(channels) - 2

    def case(batch: int, length: int) -> tuple[Inputs, Tensor]:
        u, dt, z, gy = (new(batch, length, channels).to(dtype) for _ in range(4))
        B, C = (new(batch, length, state).to(dtype) for _ in range(2))
        return Inputs(u, dt, A, B, C, D, z, bias, None, True, False), gy

    whole, gy = case(2, 38)
    many, gy_many = case(plan.crowd(channels, device), 18)
    order = torch.randperm(38, device=device, generator=generator).int()
    both = whole._replace(dt=_and_other(whole.dt), A=_and_other(A), B=_and_other(whole.B), dt_bias=_and_other(bias),
                          order=torch.stack([order.flip(0), order])[:, None])  # fmt: skip

    def errors(label: str, x: Inputs) -> dict[str, float]:
        y, states = forward(x, True)
        ways = directions.each(x, NDIM) or [x]
        exact = [one._replace(**{k: getattr(one, k).float() for k in NDIM}) for one in ways]
        given = gy_many if x is many else gy
        gradients = [naive.backward(one, states, given) for one in ways]
        wanted = gradients[0] if x is not both else directions.gather(gradients, x, NDIM)
        names = [n + label for n in ("y", "du", "ddt", "dA", "dB", "dC", "dD", "dz", "dbias")]
        wanted = (directions.add([naive.forward(one, False)[0] for one in exact]), *wanted)
        return selftest.relative_errors(names, (y, *backward(x, states, given)), wanted)

    cases = {"": whole, " in order": whole._replace(order=order), " in two directions": both, " of many": many}
    return selftest.together(device, [functools.partial(errors, label, x) for label, x in cases.items()])


def _and_other(x: Tensor) -> Tensor:
    """For two directions, the second of which sees the last first."""
    return torch.stack([x, x.flip(0)])
