"""The convolution's Triton kernels: a program takes STEPS steps of one row for BLOCK channels.

Legend: B batch, L length, E channels, S rows of the order, T steps of a row. x comes with strides of (sample, position)
and channel stride 1; everything else is contiguous. Taps are (W, E), the present step first.
"""

# pyright: reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def taps_kernel(
    x, taps, bias, order, g, y, xb, xl, length, channels, rows, steps,
    HAS_BIAS: tl.constexpr, SILU: tl.constexpr, SLOPE: tl.constexpr,
    WIDTH: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y = taps over x, through silu if SILU; if SLOPE g times silu's slope there. Grid (B * S, steps, channels)."""
    row = tl.program_id(0).to(tl.int64)
    b = row // rows
    order += (row % rows) * steps
    t = tl.program_id(1) * STEPS + tl.arange(0, STEPS)
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    in_c = c < channels
    inside = (t < steps)[:, None] & in_c[None, :]
    total = tl.zeros((STEPS, BLOCK), tl.float32)
    if HAS_BIAS:
        total += tl.load(bias + c, mask=in_c, other=0).to(tl.float32)[None, :]
    for k in tl.static_range(WIDTH):
        seen = (t >= k) & (t - k < steps)
        p = tl.load(order + t - k, mask=seen, other=0).to(tl.int64)
        x_tc = tl.load(x + b * xb + p[:, None] * xl + c[None, :], mask=seen[:, None] & in_c[None, :], other=0)
        total += tl.load(taps + k * channels + c, mask=in_c, other=0)[None, :] * x_tc.to(tl.float32)
    here = tl.load(order + t, mask=t < steps, other=0).to(tl.int64)
    at = (b * length + here[:, None]) * channels + c[None, :]
    s = tl.sigmoid(total)
    if SLOPE:
        total = tl.load(g + at, mask=inside, other=0).to(tl.float32) * s * (1 + total * (1 - s))
    elif SILU:
        total *= s
    tl.store(y + at, total, mask=inside)


@triton.jit
def tap_gradients_kernel(
    x, g, order, gw, xb, xl, batch, length, channels, rows, steps,
    WIDTH: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """gw[program, k] = sum over steps of g there times x k steps before; grid (programs, WIDTH, channels)."""
    program, k, programs = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    c = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    in_c = c < channels
    total = tl.zeros((STEPS, BLOCK), tl.float32)
    for turn in range(tl.cdiv(batch * rows - program, programs)):
        row = program.to(tl.int64) + turn * programs
        b = row // rows
        o = order + (row % rows) * steps
        for first in range(0, steps, STEPS):
            t = first + tl.arange(0, STEPS)
            seen = (t >= k) & (t < steps)
            here = tl.load(o + t, mask=seen, other=0).to(tl.int64)
            before = tl.load(o + t - k, mask=seen, other=0).to(tl.int64)
            inside = seen[:, None] & in_c[None, :]
            g_tc = tl.load(g + (b * length + here[:, None]) * channels + c[None, :], mask=inside, other=0)
            x_tc = tl.load(x + b * xb + before[:, None] * xl + c[None, :], mask=inside, other=0)
            total += g_tc.to(tl.float32) * x_tc.to(tl.float32)
    tl.store(gw + (program * WIDTH + k) * channels + c, tl.sum(total, 0), mask=in_c)
