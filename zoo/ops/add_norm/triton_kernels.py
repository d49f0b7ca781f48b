"""Triton kernels of sum, norm and modulation: a row stays in registers, so each tensor crosses memory once."""

# pyright: reportGeneralTypeIssues=false, reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false
# pyright: reportAttributeAccessIssue=false, reportCallIssue=false

import triton
import triton.language as tl


@triton.jit
def _norm(s, mask, width, eps, CENTRED: tl.constexpr):
    """(s - mean) / deviation, or s / rms; and the reciprocal."""
    if CENTRED:
        s = tl.where(mask, s - tl.sum(s, 0) / width, 0.0)
    factor = 1 / tl.sqrt(tl.sum(s * s, 0) / width + eps)
    return s * factor, factor


@triton.jit
def forward_kernel(
    x, branch, gate, weight, bias, shift, scale, s_out, n_out, gate_step, shift_step, scale_step,
    length, width, eps, CENTRED: tl.constexpr, BLOCK: tl.constexpr, BRANCH: tl.constexpr, GATE: tl.constexpr,
    WEIGHT: tl.constexpr, BIAS: tl.constexpr, SHIFT: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """A program a row."""
    row = tl.program_id(0).to(tl.int64)
    sample = row // length
    c = tl.arange(0, BLOCK)
    mask = c < width
    at = row * width + c
    s = tl.load(x + at, mask, 0.0).to(tl.float32)
    if BRANCH:
        y = tl.load(branch + at, mask, 0.0).to(tl.float32)
        if GATE:
            y *= tl.load(gate + sample * gate_step + c, mask, 0.0).to(tl.float32)
        rounded = (s + y).to(s_out.dtype.element_ty)
        tl.store(s_out + at, rounded, mask)
        s = rounded.to(tl.float32)
    n, _ = _norm(s, mask, width, eps, CENTRED)
    if WEIGHT:
        n *= tl.load(weight + c, mask, 0.0).to(tl.float32)
    if BIAS:
        n += tl.load(bias + c, mask, 0.0).to(tl.float32)
    if SCALE:
        n *= 1 + tl.load(scale + sample * scale_step + c, mask, 0.0).to(tl.float32)
    if SHIFT:
        n += tl.load(shift + sample * shift_step + c, mask, 0.0).to(tl.float32)
    tl.store(n_out + at, n.to(n_out.dtype.element_ty), mask)


@triton.jit
def backward_kernel(
    gs, gn, s, branch, gate, weight, scale, gx, gbranch, ggate, sums, gate_step, scale_step,
    length, width, eps, CENTRED: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, GS: tl.constexpr,
    SUMS: tl.constexpr, BRANCH: tl.constexpr, GATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr,
    SHIFT: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """A program takes ROWS rows of a sample one after another, so sums over rows stay in registers."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    factor = tl.full((BLOCK,), 1.0, tl.float32)
    if WEIGHT:
        factor *= tl.load(weight + c, mask, 0.0).to(tl.float32)
    if SCALE:
        factor *= 1 + tl.load(scale + sample * scale_step + c, mask, 0.0).to(tl.float32)
    if GATE:
        opened = tl.load(gate + sample * gate_step + c, mask, 0.0).to(tl.float32)
    slope = tl.zeros((BLOCK,), tl.float32)
    level = tl.zeros((BLOCK,), tl.float32)
    opening = tl.zeros((BLOCK,), tl.float32)
    for i in range(ROWS):
        row = part * ROWS + i
        there = mask & (row < length)
        at = (sample * length + row) * width + c
        n, reciprocal = _norm(tl.load(s + at, there, 0.0).to(tl.float32), mask, width, eps, CENTRED)
        g = tl.load(gn + at, there, 0.0).to(tl.float32)
        slope += g * n
        level += g
        g *= factor
        inner = tl.sum(g * n, 0) / width
        if CENTRED:
            g -= tl.sum(g, 0) / width
        g = (g - n * inner) * reciprocal
        if GS:
            g += tl.load(gs + at, there, 0.0).to(tl.float32)
        tl.store(gx + at, g.to(gx.dtype.element_ty), there)
        if BRANCH:
            if GATE:
                opening += tl.where(there, g, 0.0) * tl.load(branch + at, there, 0.0).to(tl.float32)
                g *= opened
            tl.store(gbranch + at, g.to(gbranch.dtype.element_ty), there)
    at = (sample * tl.num_programs(0) + part) * width + c
    if GATE:
        tl.store(ggate + at, opening, mask)
    if SUMS:
        at += (sample * tl.num_programs(0) + part) * width
        tl.store(sums + at, slope, mask)
        tl.store(sums + at + width, level, mask)


@triton.jit
def gated_add_kernel(x, branch, gate, s_out, gate_step, length, width, BLOCK: tl.constexpr):
    """A program a row."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    at = row * width + c
    y = tl.load(branch + at, mask, 0.0).to(tl.float32)
    y *= tl.load(gate + row // length * gate_step + c, mask, 0.0).to(tl.float32)
    s = tl.load(x + at, mask, 0.0).to(tl.float32) + y
    tl.store(s_out + at, s.to(s_out.dtype.element_ty), mask)


@triton.jit
def gated_add_backward_kernel(
    gs, branch, gate, gbranch, ggate, gate_step, length, width, BLOCK: tl.constexpr, ROWS: tl.constexpr
):
    """A program takes ROWS rows of a sample one after another."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    opened = tl.load(gate + sample * gate_step + c, mask, 0.0).to(tl.float32)
    opening = tl.zeros((BLOCK,), tl.float32)
    for i in range(ROWS):
        row = part * ROWS + i
        there = mask & (row < length)
        at = (sample * length + row) * width + c
        g = tl.load(gs + at, there, 0.0).to(tl.float32)
        opening += g * tl.load(branch + at, there, 0.0).to(tl.float32)
        tl.store(gbranch + at, (g * opened).to(gbranch.dtype.element_ty), there)
    tl.store(ggate + (sample * tl.num_programs(0) + part) * width + c, opening, mask)
