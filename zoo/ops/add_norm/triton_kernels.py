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
    BRANCH: tl.constexpr, GATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, SHIFT: tl.constexpr,
    SCALE: tl.constexpr,
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
            y *= _modulation(gate, gate_table, sample * gate_step + c, c, mask, GATE)
        rounded = (s + y).to(s_out.dtype.element_ty)
        tl.store(s_out + at, rounded, mask)
        s = rounded.to(tl.float32)
    n, _ = _norm(s, mask, width, eps, CENTRED)
    if WEIGHT:
        n *= tl.load(weight + c, mask, 0.0).to(tl.float32)
    if BIAS:
        n += tl.load(bias + c, mask, 0.0).to(tl.float32)
    if SCALE:
        n *= 1 + _modulation(scale, scale_table, sample * scale_step + c, c, mask, SCALE)
    if SHIFT:
        n += _modulation(shift, shift_table, sample * shift_step + c, c, mask, SHIFT)
    tl.store(n_out + at, n.to(n_out.dtype.element_ty), mask)


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
def gated_add_kernel(x, branch, gate, table, s_out, gate_step, length, width, BLOCK: tl.constexpr, GATE: tl.constexpr):
    """A program a row."""
    row = tl.program_id(0).to(tl.int64)
    c = tl.arange(0, BLOCK)
    mask = c < width
    at = row * width + c
    y = tl.load(branch + at, mask, 0.0).to(tl.float32)
    y *= _modulation(gate, table, row // length * gate_step + c, c, mask, GATE)
    s = tl.load(x + at, mask, 0.0).to(tl.float32) + y
    tl.store(s_out + at, s.to(s_out.dtype.element_ty), mask)


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
def _by_sample(x, SAMPLES: tl.constexpr, PARTS: tl.constexpr, CHANNELS: tl.constexpr):
    """The sum over the parts of each sample; as a cube it would be loaded by all warps alike."""
    return tl.sum(tl.reshape(x, (SAMPLES, PARTS, CHANNELS)), 1)


@triton.jit
def vector_gradients_kernel(
    sums, weight, bias, scale, scale_table, by_sample, totals, scale_step, batch, parts, width,
    SAMPLES: tl.constexpr, PARTS: tl.constexpr, CHANNELS: tl.constexpr, NORM_SUMS: tl.constexpr, COUNT: tl.constexpr,
    GATE: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, SHIFT: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """A program finishes a few channels of `sums`, SAMPLES samples at a time, so every sum has one fixed order.

    by_sample (3, batch, width): of gate, shift, scale. totals (5, width): their sums over samples, weight, bias.
    """
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    inside = c < width
    gates = tl.zeros((SAMPLES, CHANNELS), tl.float32)
    shifts = tl.zeros((SAMPLES, CHANNELS), tl.float32)
    scales = tl.zeros((SAMPLES, CHANNELS), tl.float32)
    weights = tl.zeros((SAMPLES, CHANNELS), tl.float32)
    biases = tl.zeros((SAMPLES, CHANNELS), tl.float32)
    for first in range(0, batch, SAMPLES):
        b = (first + tl.arange(0, SAMPLES)).to(tl.int64)
        mask = (b < batch)[:, None] & inside[None, :]
        slope = tl.zeros((SAMPLES, CHANNELS), tl.float32)
        level = tl.zeros((SAMPLES, CHANNELS), tl.float32)
        opening = tl.zeros((SAMPLES, CHANNELS), tl.float32)
        for start in range(0, parts, PARTS):
            r = tl.arange(0, SAMPLES * PARTS)
            sample, p = first + r // PARTS, start + r % PARTS
            at = ((sample.to(tl.int64) * parts + p) * COUNT * width)[:, None] + c[None, :]
            there = ((sample < batch) & (p < parts))[:, None] & inside[None, :]
            if NORM_SUMS:
                slope += _by_sample(tl.load(sums + at, there, 0.0), SAMPLES, PARTS, CHANNELS)
                level += _by_sample(tl.load(sums + at + width, there, 0.0), SAMPLES, PARTS, CHANNELS)
            if GATE:
                opening += _by_sample(tl.load(sums + at + (COUNT - 1) * width, there, 0.0), SAMPLES, PARTS, CHANNELS)
        at = b[:, None] * width + c[None, :]
        plane = batch * width
        if GATE:
            tl.store(by_sample + at, opening.to(by_sample.dtype.element_ty), mask)
            gates += opening
        if SHIFT:
            tl.store(by_sample + plane + at, level.to(by_sample.dtype.element_ty), mask)
            shifts += level
        if SCALE:
            turned = slope
            if WEIGHT:
                turned *= tl.load(weight + c, inside, 0.0).to(tl.float32)[None, :]
            if BIAS:
                turned += level * tl.load(bias + c, inside, 0.0).to(tl.float32)[None, :]
            tl.store(by_sample + 2 * plane + at, turned.to(by_sample.dtype.element_ty), mask)
            scales += turned
            channel = tl.broadcast_to(c[None, :], (SAMPLES, CHANNELS))
            opened = 1 + _modulation(scale, scale_table, b[:, None] * scale_step + channel, channel, mask, SCALE)
            slope *= opened
            level *= opened
        weights += slope
        biases += level
    if GATE:
        tl.store(totals + c, tl.sum(gates, 0), inside)
    if SHIFT:
        tl.store(totals + width + c, tl.sum(shifts, 0), inside)
    if SCALE:
        tl.store(totals + 2 * width + c, tl.sum(scales, 0), inside)
    if WEIGHT:
        tl.store(totals + 3 * width + c, tl.sum(weights, 0), inside)
    if BIAS:
        tl.store(totals + 4 * width + c, tl.sum(biases, 0), inside)
