"""How long calls take: CUDA events or the wall clock, after a warm-up, in rounds that take every call in turn."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import torch

ROUNDS = 3
BUDGET = 0.12  # seconds of samples a call and round, as far as LEAST and MOST allow
LEAST, MOST = 1, 100  # samples a call and round


Item = TypeVar("Item")


class Call(NamedTuple):
    """What to time; `wall` counts the host's work too, `repeats` is how often the run does the thing in question."""

    run: Callable[[], Any]
    wall: bool = False
    repeats: int = 1


class Timing(NamedTuple):
    """Milliseconds: the best of the rounds' medians, and the median of each round."""

    ms: float
    medians: tuple[float, ...]

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, as a share of the best."""
        return (max(self.medians) - self.ms) / self.ms


def measure(calls: Mapping[str, Call], device: torch.device, *, rounds: int = ROUNDS,
            budget: float = BUDGET) -> dict[str, Timing]:  # fmt: skip
    """Time every call, side by side: round k of all calls lies within moments, so that ratios share the machine's mood.

    Args:
        calls: by name; what they return is dropped.
        budget: seconds of samples for each call and round.
    """
    samples = {name: _samples(call, device, budget) for name, call in calls.items()}
    medians: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            median = statistics.median(_times(call, device, samples[name]))
            medians[name].append(median / call.repeats)
    return {name: Timing(min(found), tuple(found)) for name, found in medians.items()}


def ratio(slow: Timing, fast: Timing) -> float:
    """How many times faster, by the median of the rounds' own ratios."""
    return statistics.median(s / f for s, f in zip(slow.medians, fast.medians))


def captured(run: Callable[[], Any]) -> Callable[[], None]:
    """A CUDA graph of `run`: replaying it leaves no gaps between kernels, so its time is the GPU's alone.

    Raises: RuntimeError if `run` waits for the device or allocates in a way that cannot be captured.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.empty_cache()  # a graph has memory of its own, and cannot take what the warm-up left
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = run()
    return functools.partial(_replay, graph, (kept, run))  # with the inputs that `run` holds


def _replay(graph: torch.cuda.CUDAGraph, kept: Any) -> None:
    graph.replay()


def _samples(call: Call, device: torch.device, budget: float) -> int:
    """Warm up, and see how many samples the budget allows."""
    first = statistics.median(_times(call, device, 1))  # compiles, fills caches
    if first < 1e3 * budget:
        _times(call, device, 2)
        first = statistics.median(_times(call, device, 1))
    return min(MOST, max(LEAST, int(1e3 * budget / max(first, 1e-3))))


def _times(call: Call, device: torch.device, samples: int) -> list[float]:
    """Milliseconds of each sample."""
    if device.type == "cuda" and not call.wall:
        events = [[torch.cuda.Event(enable_timing=True) for _ in "ab"] for _ in range(samples)]
        for start, end in events:
            start.record()
            call.run()
            end.record()
        torch.cuda.synchronize(device)
        return [start.elapsed_time(end) for start, end in events]
    return [_wall(call, device) for _ in range(samples)]


def _wall(call: Call, device: torch.device) -> float:
    """Milliseconds from an idle device to an idle device."""
    synchronize(device)
    start = time.perf_counter()
    call.run()
    synchronize(device)
    return 1e3 * (time.perf_counter() - start)


def in_time(items: Iterable[Item], minutes: float, say: Callable[[str], None]) -> Iterator[Item]:
    """The items, until so many minutes have passed (0: all); then it says that the rest is left out."""
    start = time.monotonic()
    for item in items:
        if minutes and time.monotonic() - start > 60 * minutes:
            say(f"{minutes:g} minutes are over, the rest is left out")
            return
        yield item


def synchronize(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
