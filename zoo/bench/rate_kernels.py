"""Kernels that do nothing but one kind of arithmetic, in registers, to see how fast a GPU can do it."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def exp2_kernel(out, steps, BLOCK: tl.constexpr, UNROLL: tl.constexpr):
    """`steps` * UNROLL exponentials an element, one behind the other."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = place.to(tl.float32) * 1e-6
    for _ in range(steps):
        for _ in tl.static_range(UNROLL):
            x = tl.exp2(-x)
    tl.store(out + place, x)


@triton.jit
def fma_kernel(out, steps, a, b, BLOCK: tl.constexpr, UNROLL: tl.constexpr):
    """`steps` * UNROLL multiply-adds an element, one behind the other."""
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = place.to(tl.float32) * 1e-6
    for _ in range(steps):
        for _ in tl.static_range(UNROLL):
            x = x * a + b
    tl.store(out + place, x)
