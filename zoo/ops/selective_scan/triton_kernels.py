"""The scan's Triton kernels: one program walks rows of the order for BLOCK channels, the state (N, BLOCK) in registers.

Legend: B batch, L length, E channels, N state (padded to a power of two), S rows of the order, T steps of a row.
Channels lie across the lanes of one warp and states within a lane, so the sum over states needs no shuffle. Inputs come
with strides of (sample, position) and channel stride 1. The next step is loaded before the present one is computed,
because the recurrence alone cannot hide a load. Nothing is added atomically: results are the same in every run.
"""

# pyright: reportAttributeAccessIssue=false, reportOptionalOperand=false

from __future__ import annotations

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def _softplus(x):
    e = tl.exp(-tl.abs(x))
    s = e / (2 + e)  # log1p(e) = 2 atanh(s), s <= 1/3: log(1 + e) would lose small e
    q = s * s
    r = 1 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * (1 / 11 + q * (1 / 13 + q * (1 / 15)))))))
    return tl.maximum(x, 0) + 2 * s * r


@triton.jit
def _phi(x, a):
    """(exp(x) - 1) / x with a = exp(x); its series near 0, where the difference cancels."""
    r = 1 / 120 + x * (1 / 720 + x * (1 / 5040 + x * (1 / 40320)))
    series = 1 + x * (1 / 2 + x * (1 / 6 + x * (1 / 24 + x * r)))
    small = tl.abs(x) < 0.5
    return tl.where(small, series, (a - 1) / tl.where(small, 1.0, x))


@triton.jit
def _phi_slope(x, a):
    """phi'(x) = (exp(x) - phi(x)) / x."""
    r = 6 / 5040 + x * (7 / 40320 + x * (8 / 362880 + x * (9 / 3628800 + x * (10 / 39916800))))
    series = 1 / 2 + x * (2 / 6 + x * (3 / 24 + x * (4 / 120 + x * (5 / 720 + x * r))))
    small = tl.abs(x) < 1
    safe = tl.where(small, 1.0, x)
    return tl.where(small, series, (a - (a - 1) / safe) / safe)


@triton.jit
def _load(t, steps, order, u, dt, B, C, ul, dtl, Bl, Cl, bias, in_c, in_n, SOFTPLUS: tl.constexpr):
    """Position, u, step size, its slope, B, C of step t; of an end of the row if t lies beyond it."""
    p = tl.load(order + tl.minimum(tl.maximum(t, 0), steps - 1)).to(tl.int64)
    u_c = tl.load(u + p * ul, mask=in_c, other=0).to(tl.float32)
    dt_c = tl.load(dt + p * dtl, mask=in_c, other=0).to(tl.float32) + bias
    B_n = tl.load(B + p * Bl, mask=in_n, other=0).to(tl.float32)
    C_n = tl.load(C + p * Cl, mask=in_n, other=0).to(tl.float32)
    slope_c = tl.full(dt_c.shape, 1, tl.float32)
    if SOFTPLUS:
        slope_c = tl.sigmoid(dt_c)
        dt_c = _softplus(dt_c)
    return p, tl.where(in_c, u_c, 0), tl.where(in_c, dt_c, 0), slope_c, B_n, C_n


@triton.jit
def _update(h, A, u_c, dt_c, B_n, ZOH: tl.constexpr):
    """One step of the recurrence; also its decay a and input weight w, all (N, BLOCK)."""
    a = tl.exp2(dt_c[None, :] * A * LOG2E)
    w = dt_c[None, :] + tl.zeros_like(A)
    if ZOH:
        w = w * _phi(dt_c[None, :] * A, a)
    return a * h + w * u_c[None, :] * B_n[:, None], a, w


@triton.jit
def _vector(pointer, c, in_c, GIVEN: tl.constexpr):
    """(BLOCK,) of a parameter, 0 where none is given."""
    x = tl.zeros(c.shape, tl.float32)
    if GIVEN:
        x = tl.load(pointer + c, mask=in_c, other=0).to(tl.float32)
    return x


@triton.jit
def forward_kernel(
    u, dt, A, B, C, D, z, bias, order, y, states,
    ub, ul, dtb, dtl, zb, zl, Bb, Bl, Cb, Cl, length, channels, state, rows, steps, chunks,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr, ZOH: tl.constexpr,
    SAVE: tl.constexpr, N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """y, and the state at the start of every chunk; grid (B * S, blocks of channels)."""
    row = tl.program_id(0).to(tl.int64)
    b = row // rows
    order += (row % rows) * steps
    c = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N)
    in_c, in_n = c < channels, n < state
    u, dt, z, B, C = u + b * ub + c, dt + b * dtb + c, z + b * zb + c, B + b * Bb + n, C + b * Cb + n
    y += b * length * channels + c
    A_nc = tl.load(A + c[None, :] * state + n[:, None], mask=in_n[:, None] & in_c[None, :], other=0)
    D_c, bias_c = _vector(D, c, in_c, HAS_D), _vector(bias, c, in_c, HAS_BIAS)
    h = tl.zeros((N, BLOCK), tl.float32)
    p, u_c, dt_c, _slope, B_n, C_n = _load(0, steps, order, u, dt, B, C, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS)
    for t in range(steps):
        following = _load(t + 1, steps, order, u, dt, B, C, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS)
        if SAVE and t % CHUNK == 0:
            at = ((row * chunks + t // CHUNK) * state + n[:, None]) * channels + c[None, :]
            tl.store(states + at, h, mask=in_n[:, None] & in_c[None, :])
        h, _a, _w = _update(h, A_nc, u_c, dt_c, B_n, ZOH)
        y_c = tl.sum(h * C_n[:, None], 0) + D_c * u_c
        if HAS_Z:
            z_c = tl.load(z + p * zl, mask=in_c, other=0).to(tl.float32)
            y_c *= z_c * tl.sigmoid(z_c)
        tl.store(y + p * channels, y_c, mask=in_c)
        p, u_c, dt_c, _slope, B_n, C_n = following


@triton.jit
def backward_kernel(
    u, dt, A, B, C, D, z, bias, order, gy, states, kept, gu, gdt, gz, gA, gB, gC, gD, gbias,
    ub, ul, dtb, dtl, zb, zl, Bb, Bl, Cb, Cl, batch, length, channels, state, rows, steps, chunks,
    HAS_D: tl.constexpr, HAS_Z: tl.constexpr, HAS_BIAS: tl.constexpr, SOFTPLUS: tl.constexpr, ZOH: tl.constexpr,
    N: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr,
):  # fmt: skip
    """All gradients; gA, gD, gbias by program, gB, gC by block of channels. Grid (programs, blocks of channels).

    A chunk is walked forward once more from its saved state, every state kept in this program's part of `kept`, and
    then backward.
    """
    program, block, programs = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    c = block * BLOCK + tl.arange(0, BLOCK)
    n = tl.arange(0, N)
    in_c, in_n = c < channels, n < state
    in_nc = in_n[:, None] & in_c[None, :]
    kept += (program * tl.num_programs(1) + block).to(tl.int64) * (CHUNK * N * BLOCK)
    kept += n[:, None] * BLOCK + tl.arange(0, BLOCK)[None, :]
    A_nc = tl.load(A + c[None, :] * state + n[:, None], mask=in_nc, other=0)
    D_c, bias_c = _vector(D, c, in_c, HAS_D), _vector(bias, c, in_c, HAS_BIAS)
    gA_nc = tl.zeros((N, BLOCK), tl.float32)
    gD_c, gbias_c = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for turn in range(tl.cdiv(batch * rows - program, programs)):
        row = program.to(tl.int64) + turn * programs
        b = row // rows
        o = order + (row % rows) * steps
        u_, dt_, z_, B_, C_ = u + b * ub + c, dt + b * dtb + c, z + b * zb + c, B + b * Bb + n, C + b * Cb + n
        at_sequence = b * length * channels + c
        at_weights = (block * batch + b) * length * state + n
        gh = tl.zeros((N, BLOCK), tl.float32)
        for i in range(chunks):
            first = (chunks - 1 - i) * CHUNK
            count = tl.minimum(CHUNK, steps - first)
            at = ((row * chunks + chunks - 1 - i) * state + n[:, None]) * channels + c[None, :]
            h = tl.load(states + at, mask=in_nc, other=0)
            p, u_c, dt_c, slope_c, B_n, C_n = _load(
                first, steps, o, u_, dt_, B_, C_, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS
            )
            for j in range(count):
                following = _load(
                    first + j + 1, steps, o, u_, dt_, B_, C_, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS
                )
                tl.store(kept + j * N * BLOCK, h)
                h, _a, _w = _update(h, A_nc, u_c, dt_c, B_n, ZOH)
                p, u_c, dt_c, slope_c, B_n, C_n = following
            tl.debug_barrier()
            t = first + count - 1
            p, u_c, dt_c, slope_c, B_n, C_n = _load(
                t, steps, o, u_, dt_, B_, C_, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS
            )
            for j in range(count):
                following = _load(t - j - 1, steps, o, u_, dt_, B_, C_, ul, dtl, Bl, Cl, bias_c, in_c, in_n, SOFTPLUS)
                h0 = tl.load(kept + (count - 1 - j) * N * BLOCK)
                h1, a, w = _update(h0, A_nc, u_c, dt_c, B_n, ZOH)
                gy_c = tl.load(gy + at_sequence + p * channels, mask=in_c, other=0).to(tl.float32)
                if HAS_Z:
                    y_c = tl.sum(h1 * C_n[:, None], 0) + D_c * u_c
                    z_c = tl.load(z_ + p * zl, mask=in_c, other=0).to(tl.float32)
                    s_c = tl.sigmoid(z_c)
                    tl.store(gz + at_sequence + p * channels, gy_c * y_c * s_c * (1 + z_c * (1 - s_c)), mask=in_c)
                    gy_c *= z_c * s_c
                gh += gy_c[None, :] * C_n[:, None]
                tl.store(gC + at_weights + p * state, tl.sum(h1 * gy_c[None, :], 1), mask=in_n)
                tl.store(gB + at_weights + p * state, tl.sum(gh * w * u_c[None, :], 1), mask=in_n)
                gu_c = tl.sum(gh * w * B_n[:, None], 0) + D_c * gy_c
                tl.store(gu + at_sequence + p * channels, gu_c, mask=in_c)
                ga = gh * a * h0
                gw = gh * u_c[None, :] * B_n[:, None]
                if ZOH:
                    gdt_c = tl.sum(A_nc * ga + a * gw, 0) * slope_c
                    gA_nc += dt_c[None, :] * (ga + dt_c[None, :] * _phi_slope(dt_c[None, :] * A_nc, a) * gw)
                else:
                    gdt_c = tl.sum(A_nc * ga + gw, 0) * slope_c
                    gA_nc += dt_c[None, :] * ga
                tl.store(gdt + at_sequence + p * channels, gdt_c, mask=in_c)
                gbias_c += gdt_c
                gD_c += gy_c * u_c
                gh *= a
                p, u_c, dt_c, slope_c, B_n, C_n = following
            tl.debug_barrier()
    tl.store(gA + (program * state + n[:, None]) * channels + c[None, :], gA_nc, mask=in_nc)
    tl.store(gD + program * channels + c, gD_c, mask=in_c)
    tl.store(gbias + program * channels + c, gbias_c, mask=in_c)
