"""Dormand and Prince's Runge-Kutta pair of order 5(4) for a batch whose images each have their own time and step.

Sources: Dormand & Prince 1980, Table 2; Hairer, Norsett & Wanner 1993, II.4 (first step and control of steps).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.diffusion.gaussian import as_time, per_image
from zoo.errors import ZooError

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""slope(x, t, rows): dx/dt of some images of the batch, t (B,) and rows (B,), their numbers in it."""
PLACES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
STAGES = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
)
FIFTH = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
ERROR = (-71 / 57600, 0.0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40)
SAFETY, SHRINK, GROW = 0.9, 0.2, 10.0
POWER = -1 / 5
LEAST = 1e-12  # of a step in t


class Paths:
    """Images on their way from `start` to `end`: where each stands, at its own time, and its next step.

    Times, steps and errors are float64, (B,); what is not finite fails.
    """

    def __init__(self, slope: Slope, x: Tensor, start: float, end: float, rtol: float, atol: float):
        count = len(x)
        self.slope, self.x, self.rtol, self.atol = slope, x, rtol, atol
        self.start, self.end, self.sign = start, end, 1.0 if end > start else -1.0
        self.t = torch.full((count,), start, dtype=torch.float64)
        self.rejected = torch.zeros(count, dtype=torch.bool)
        self.evaluations = torch.zeros(count, dtype=torch.int64)
        every = torch.arange(count)
        self.f = self.ask(x, self.t, every)
        self.h = self.first_step(every) if count else self.t.clone()

    def ask(self, x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        """The slope, counted."""
        self.evaluations[rows] += 1
        return self.slope(x, t, rows)

    def unfinished(self) -> Tensor:
        """The numbers of the images that have not arrived."""
        return (self.t != self.end).nonzero().flatten()

    def share(self) -> float:
        """How much of the way the images have behind them, on average, 0 to 1."""
        return ((self.t - self.start) / (self.end - self.start)).mean().item()

    def first_step(self, rows: Tensor) -> Tensor:
        """A step whose error should be small, from the slope and how fast it changes, without sign."""
        scale, length = self.atol + self.x.abs() * self.rtol, abs(self.end - self.start)
        size, speed = norm(self.x / scale), norm(self.f / scale)
        trial = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6, 0.01 * size / speed).clamp(max=length)
        moved = self.x + per_image(self.sign * trial, self.x) * self.f
        bend = norm((self.ask(moved, self.t + self.sign * trial, rows) - self.f) / scale) / trial
        largest = torch.maximum(speed, bend)
        found = torch.where(largest <= 1e-15, (trial * 1e-3).clamp(min=1e-6), (0.01 / largest) ** -POWER)
        return torch.minimum(100 * trial, found).clamp(max=length)

    def step(self, rows: Tensor) -> None:
        """One step of some images; where the error is too large only the size of the step changes."""
        t, x = self.t[rows], self.x[rows]
        arrived = (self.end - t).abs() <= self.h[rows]
        then = torch.where(arrived, self.end, t + self.sign * self.h[rows])
        h = then - t
        ahead, slopes = self.stages(x, t, h, rows)
        error = self.error(x, ahead, h, slopes)
        good = error < 1
        factor = (SAFETY * error**POWER).clamp(SHRINK, GROW)
        factor = torch.where(good & self.rejected[rows], factor.clamp(max=1.0), factor)
        self.h[rows], self.rejected[rows] = h.abs() * torch.where(good, factor, factor.clamp(max=1.0)), ~good
        kept = rows[good]
        self.t[kept], self.x, self.f = then[good], put(self.x, kept, ahead[good]), put(self.f, kept, slopes[-1][good])
        if not torch.isfinite(error).all():
            raise ZooError("the network gives values that are not finite", where="adaptive steps")
        if (self.h[rows] < LEAST)[~good].any():
            raise ZooError("the steps have become too small", where="adaptive steps", fix="raise rtol, atol and end")

    def stages(self, x: Tensor, t: Tensor, h: Tensor, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """x after a step by the method of order 5, and the seven slopes, the last of them there."""
        slopes, step = [self.f[rows]], per_image(h, x)
        for place, weights in zip(PLACES, STAGES):
            slopes.append(self.ask(x + step * mix(weights, slopes), t + place * h, rows))
        ahead = x + step * mix(FIFTH, slopes)
        return ahead, [*slopes, self.ask(ahead, t + h, rows)]

    def error(self, x: Tensor, ahead: Tensor, h: Tensor, slopes: list[Tensor]) -> Tensor:
        """Of each image: root mean square of the difference of both orders over its tolerance."""
        scale = self.atol + torch.maximum(x.abs(), ahead.abs()) * self.rtol
        return norm(per_image(h, x) * mix(ERROR, slopes) / scale)


def mix(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    """The weighted sum."""
    return sum((w * k for w, k in zip(weights[1:], slopes[1:]) if w), weights[0] * slopes[0])


def norm(x: Tensor) -> Tensor:
    """Root mean square of each image, float64 (B,)."""
    return as_time(x.flatten(1).square().mean(1).sqrt().cpu())


def put(whole: Tensor, rows: Tensor, values: Tensor) -> Tensor:
    """The batch with some images replaced; what was handed out before stays as it was."""
    return whole.index_copy(0, rows.to(whole.device), values)
