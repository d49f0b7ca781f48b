"""Triton kernels of sum, norm and modulation: a row stays in registers, so each tensor crosses memory once.

GATE, SHIFT and SCALE say what there is of a modulation vector: 0 nothing, 1 a row, 2 a row and a table to add to it.
"""

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
def _modulation(row, table, at, c, mask, KIND: tl.constexpr):
    """A shift, scale or gate in float32."""
    v = tl.load(row + at, mask, 0.0).to(tl.float32)
    if KIND == 2:
        v += tl.load(table + c, mask, 0.0).to(tl.float32)
    return v


@triton.jit
def forward_kernel(
    x, branch, gate, gate_table, weight, bias, shift, shift_table, scale, scale_table, s_out, n_out,
    gate_step, shift_step, scale_step, length, width, eps, CENTRED: tl.constexpr, BLOCK: tl.constexpr,
    ROWS: tl.constexpr, BRANCH: tl.constexpr, GATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr,
    SHIFT: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """A program takes ROWS rows of a sample; what they share is read once, and before anything waits for a sum."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    factor = tl.full((BLOCK,), 1.0, tl.float32)
    offset = tl.zeros((BLOCK,), tl.float32)
    if SCALE:
        factor += _modulation(scale, scale_table, sample * scale_step + c, c, mask, SCALE)
    if BIAS:
        offset = factor * tl.load(bias + c, mask, 0.0).to(tl.float32)
    if WEIGHT:
        factor *= tl.load(weight + c, mask, 0.0).to(tl.float32)
    if SHIFT:
        offset += _modulation(shift, shift_table, sample * shift_step + c, c, mask, SHIFT)
    if GATE:
        opened = _modulation(gate, gate_table, sample * gate_step + c, c, mask, GATE)
    for i in range(ROWS):
        row = part * ROWS + i
        there = mask & (row < length)
        at = (sample * length + row) * width + c
        s = tl.load(x + at, there, 0.0).to(tl.float32)
        if BRANCH:
            y = tl.load(branch + at, there, 0.0).to(tl.float32)
            if GATE:
                y *= opened
            rounded = (s + y).to(s_out.dtype.element_ty)
            tl.store(s_out + at, rounded, there)
            s = rounded.to(tl.float32)
        n, _ = _norm(s, mask, width, eps, CENTRED)
        tl.store(n_out + at, (n * factor + offset).to(n_out.dtype.element_ty), there)


@triton.jit
def backward_kernel(
    gs, gn, s, branch, gate, gate_table, weight, scale, scale_table, gx, gbranch, sums, gate_step, scale_step,
    length, width, eps, CENTRED: tl.constexpr, BLOCK: tl.constexpr, ROWS: tl.constexpr, GS: tl.constexpr,
    NORM_SUMS: tl.constexpr, COUNT: tl.constexpr, BRANCH: tl.constexpr, GATE: tl.constexpr, WEIGHT: tl.constexpr,
    SCALE: tl.constexpr,
):  # fmt: skip
    """A program takes ROWS rows of a sample one after another, so sums over rows stay in registers.

    They go to sums (batch, parts, COUNT, width): of g * norm and of g with NORM_SUMS, then the gate's with GATE.
    """
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    factor = tl.full((BLOCK,), 1.0, tl.float32)
    if WEIGHT:
        factor *= tl.load(weight + c, mask, 0.0).to(tl.float32)
    if SCALE:
        factor *= 1 + _modulation(scale, scale_table, sample * scale_step + c, c, mask, SCALE)
    if GATE:
        opened = _modulation(gate, gate_table, sample * gate_step + c, c, mask, GATE)
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
    at = (sample * tl.num_programs(0) + part) * COUNT * width + c
    if NORM_SUMS:
        tl.store(sums + at, slope, mask)
        tl.store(sums + at + width, level, mask)
    if GATE:
        tl.store(sums + at + (COUNT - 1) * width, opening, mask)


@triton.jit
def gated_add_kernel(
    x, branch, gate, table, s_out, gate_step, length, width, BLOCK: tl.constexpr, ROWS: tl.constexpr, GATE: tl.constexpr
):
    """A program takes ROWS rows of a sample."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    opened = _modulation(gate, table, sample * gate_step + c, c, mask, GATE)
    for i in range(ROWS):
        row = part * ROWS + i
        there = mask & (row < length)
        at = (sample * length + row) * width + c
        y = tl.load(branch + at, there, 0.0).to(tl.float32) * opened
        s = tl.load(x + at, there, 0.0).to(tl.float32) + y
        tl.store(s_out + at, s.to(s_out.dtype.element_ty), there)


@triton.jit
def gated_add_backward_kernel(
    gs, branch, gate, table, gbranch, sums, gate_step, length, width, BLOCK: tl.constexpr, ROWS: tl.constexpr,
    GATE: tl.constexpr,
):  # fmt: skip
    """A program takes ROWS rows of a sample one after another; sums (batch, parts, 1, width)."""
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    opened = _modulation(gate, table, sample * gate_step + c, c, mask, GATE)
    opening = tl.zeros((BLOCK,), tl.float32)
    for i in range(ROWS):
        row = part * ROWS + i
        there = mask & (row < length)
        at = (sample * length + row) * width + c
        g = tl.load(gs + at, there, 0.0).to(tl.float32)
        opening += g * tl.load(branch + at, there, 0.0).to(tl.float32)
        tl.store(gbranch + at, (g * opened).to(gbranch.dtype.element_ty), there)
    tl.store(sums + (sample * tl.num_programs(0) + part) * width + c, opening, mask)


@triton.jit
def vector_gradients_kernel(
    sums, weight, bias, scale, scale_table, by_sample, terms, scale_step, parts, width, PARTS: tl.constexpr,
    CHANNELS: tl.constexpr, NORM_SUMS: tl.constexpr, COUNT: tl.constexpr, GATE: tl.constexpr, WEIGHT: tl.constexpr,
    BIAS: tl.constexpr, SHIFT: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """A program finishes some channels of `sums` of one sample.

    by_sample (3, batch, width): of gate, shift, scale. terms (5, batch, width): the same, of weight and of bias.
    """
    sample = tl.program_id(1).to(tl.int64)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    mask = c < width
    slope = tl.zeros((CHANNELS,), tl.float32)
    level = tl.zeros((CHANNELS,), tl.float32)
    opening = tl.zeros((CHANNELS,), tl.float32)
    for start in range(0, parts, PARTS):
        p = start + tl.arange(0, PARTS)
        at = ((sample * parts + p) * COUNT * width)[:, None] + c[None, :]
        there = (p < parts)[:, None] & mask[None, :]
        if NORM_SUMS:
            slope += tl.sum(tl.load(sums + at, there, 0.0), 0)
            level += tl.sum(tl.load(sums + at + width, there, 0.0), 0)
        if GATE:
            opening += tl.sum(tl.load(sums + at + (COUNT - 1) * width, there, 0.0), 0)
    at = sample * width + c
    plane = tl.num_programs(1).to(tl.int64) * width
    turned, opened = slope, 1.0
    if SCALE:
        if WEIGHT:
            turned *= tl.load(weight + c, mask, 0.0).to(tl.float32)
        if BIAS:
            turned += level * tl.load(bias + c, mask, 0.0).to(tl.float32)
        opened = 1 + _modulation(scale, scale_table, sample * scale_step + c, c, mask, SCALE)
    if GATE:
        tl.store(by_sample + at, opening.to(by_sample.dtype.element_ty), mask)
    if SHIFT:
        tl.store(by_sample + plane + at, level.to(by_sample.dtype.element_ty), mask)
    if SCALE:
        tl.store(by_sample + 2 * plane + at, turned.to(by_sample.dtype.element_ty), mask)
    tl.store(terms + at, opening, mask)  # all five: they are summed together
    tl.store(terms + plane + at, level, mask)
    tl.store(terms + 2 * plane + at, turned, mask)
    tl.store(terms + 3 * plane + at, slope * opened, mask)
    tl.store(terms + 4 * plane + at, level * opened, mask)
