"""How long a point of a sweep will take, from multiply-adds and from what the point before it took."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zoo.bench.clock import Call, measure
from zoo.bench.contestant import Contestant, inputs
from zoo.bench.points import Point

CALLS = 6  # of the network at least: warm-up, counting, memory or profile, three rounds
TINY = Point(64, 8, 8)


class Budget:
    """Seconds a multiply-add of every contestant, which the last point that was measured has taught."""

    def __init__(self, contestants: Sequence[Contestant], batch: int):
        self.contestants, self.batch = contestants, batch
        self.rates: dict[str, float] = {}
        self.last: tuple[Point, float] | None = None

    def calibrate(self, device: torch.device, dtype: torch.dtype) -> None:
        """Learn from a tiny image, so that the first point has an estimate; it is too high rather than too low."""
        for contestant in self.contestants:
            shape = TINY.shape(contestant.channels)
            backbone = contestant.build(shape, device, dtype)
            x, t, y = inputs(backbone, shape, self.batch, device, dtype)
            with torch.no_grad():
                timing = measure({"tiny": Call(lambda: backbone(x, t, y))}, device, rounds=1)["tiny"]  # noqa: B023
            self.rates[contestant.label] = timing.ms / 1e3 / (contestant.macs(shape) * self.batch)

    def learn(self, point: Point, ms: dict[str, float], macs: dict[str, int]) -> None:
        """Take in what a point took: milliseconds a call and multiply-adds an image of every contestant."""
        self.rates |= {label: ms[label] / 1e3 / (macs[label] * self.batch) for label in ms}
        self.last = point, sum(ms.values()) / 1e3

    def seconds(self, point: Point, enough: float) -> float:
        """The estimate for all contestants; less exact, but free, where even quadratic growth stays under `enough`."""
        if self.last:
            before, took = self.last
            bound = took * max(1.0, point.pixels / before.pixels) ** 2 * CALLS
            if bound <= enough:
                return bound
        rates = self.rates
        known = [c for c in self.contestants if c.label in rates]
        macs = {c.label: c.macs(point.shape(c.channels)) for c in known}
        return CALLS * self.batch * sum(rates[label] * count for label, count in macs.items())
