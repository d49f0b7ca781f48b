"""The times that a sampler walks through, and the refusal of those it cannot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.protocols import Draw
from zoo.errors import ZooError

LARGEST = 1e8  # a rate beyond this is an infinite one, met by rounding
LEFT = 1e-3  # noise that counts as none


class Span(Protocol):
    """Fields of a sampler: how many steps, from when to when."""

    steps: int
    start: float
    end: float


class Walk(Span, Protocol):
    """A span and the part that places its times."""

    grid: Any  # a TimeGrid, where the recipe's field was the factory of one


def walk_times(name: str, walk: Walk, process: Gaussian, steps: int) -> Tensor:
    """steps + 1 times from start down to end, float64. Raises: ZooError if the grid does not give them."""
    times = walk.grid(process, steps, walk.start, walk.end)
    if not (torch.isfinite(times).all() and (times.diff() < 0).all()):
        grid = type(walk.grid).__name__
        raise ZooError(
            f"grid {grid} has no falling times from {walk.start:g} to {walk.end:g} on this process",
            where=f"sampler {name}",
            fix="move start or end a little inside, for instance 0.999 and 0.001",
        )
    return times


def times_to_data(name: str, walk: Walk, process: Gaussian) -> Tensor:
    """`steps` times from start to end, at which the network is asked, then t = 0; a grid may end at 0 itself."""
    if walk.end == 0:
        return walk_times(name, walk, process, walk.steps)
    if walk.steps == 1:
        return torch.tensor([walk.start, 0.0], dtype=torch.float64)
    times = walk_times(name, walk, process, walk.steps - 1)
    return torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def check_span(name: str, walk: Span, fewest: int = 1) -> None:
    """Raises: ZooError for a step count or times that nothing can walk, before any network runs."""
    where = f"sampler {name}"
    if walk.steps < fewest:
        raise ZooError(f"steps {walk.steps}", where=where, fix=f"give at least {fewest}")
    if not 0 <= walk.end < walk.start <= 1:
        raise ZooError(f"times from {walk.start} to {walk.end}", where=where, fix="need 0 <= end < start <= 1")


def check_finite(name: str, process: Gaussian, method: str, times: Sequence[float]) -> None:
    """Raises: ZooError if a method of the process is not finite at one of the times."""
    largest = math.log(LARGEST) if method == "log_snr" else LARGEST
    for t in times:
        value = getattr(process, method)(t)
        if any(not abs(v.item()) < largest for v in (value if isinstance(value, tuple) else (value,))):
            what = f"{method} of process {type(process).__name__} is not finite at t = {t:g}"
            raise ZooError(what, where=f"sampler {name}", fix="move start or end a little inside: 0.999, 0.001")


def check_clean_end(name: str, process: Gaussian) -> None:
    """Raises: ZooError for a process with noise left at t = 0, where a step in t cannot end."""
    if process.sigma(0.0).item() > LEFT:
        raise ZooError(
            f"process {type(process).__name__} still has noise at t = 0",
            where=f"sampler {name}",
            fix="use sampler heun or dpm_solver",
        )


def draws(name: str, noise: Draw | None, needed: bool) -> Draw:
    """The noise that was given, or none where none is needed. Raises: ZooError if it is."""
    if noise is None and needed:
        raise ZooError("these settings draw noise", where=f"sampler {name}", fix="give noise=Noise(seed, images)")
    return noise or (lambda i, x: torch.zeros_like(x))
