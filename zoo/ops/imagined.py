"""Counting what a GPU would keep, on tensors without memory and without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

on_gpu: ContextVar[bool] = ContextVar("on_gpu", default=False)


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Inside, operators go the way of their GPU kernels, wherever the tensors are; only fake tensors survive that."""
    before = on_gpu.set(True)
    try:
        yield
    finally:
        on_gpu.reset(before)
