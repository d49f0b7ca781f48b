"""Counting what a GPU would keep, on tensors without memory and without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

_on_gpu = False  # not a ContextVar, which torch.compile cannot read


def on_gpu() -> bool:
    """Whether operators shall go the way of their GPU kernels, wherever the tensors are."""
    return _on_gpu


@contextmanager
def as_on_gpu() -> Iterator[None]:
    """Inside, they do; only fake tensors survive that."""
    global _on_gpu
    before, _on_gpu = _on_gpu, True
    try:
        yield
    finally:
        _on_gpu = before
