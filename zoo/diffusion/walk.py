"""The times that a sampler walks through, and the refusal of those it cannot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.errors import ZooError


class Span(Protocol):
    """What a sampler walks: network evaluations, first and last time."""

    steps: int
    start: float
    end: float


def to_data(grid, process: Gaussian, span: Span) -> Tensor:
    """`steps` times from start to end, at which the network is asked, then t = 0."""
    if span.end == 0:
        return grid(process, span.steps, span.start, 0.0)
    times = grid(process, span.steps - 1, span.start, span.end) if span.steps > 1 else torch.tensor([span.start])
    return torch.cat([times.double(), torch.zeros(1, dtype=torch.float64)])


def check_span(name: str, span: Span, process: Gaussian, finite: Sequence[str] = (), fewest: int = 1) -> None:
    """Raises: ZooError for a step count or times that cannot be walked, before any network runs.

    Args:
        finite: methods of the process that must be finite at both ends.
    """
    where = f"sampler {name}"
    if span.steps < fewest:
        raise ZooError(f"steps {span.steps}", where=where, fix=f"give at least {fewest}")
    if not 0 <= span.end < span.start <= 1:
        raise ZooError(f"times from {span.start} to {span.end}", where=where, fix="need 0 <= end < start <= 1")
    for method in finite:
        for t in (span.start, span.end):
            if not _finite(getattr(process, method)(t)):
                what = f"{method} of process {type(process).__name__} is not finite at t = {t:g}"
                raise ZooError(what, where=where, fix="move start or end a little inside, for instance 0.999 and 0.001")


def _finite(value: Tensor) -> bool:
    return bool(torch.isfinite(value).all()) and value.abs().max().item() < 1e8
