"""The learning rate as a function of the number of updates already done."""

from __future__ import annotations

import math


def factor(schedule: str, done: int, warmup: int, steps: int) -> float:
    """Part of the full learning rate that update number `done` (the first is 0) gets.

    Linear from 0 over `warmup` updates, min(done / warmup, 1), and then: `constant`; `cosine` to 0 at
    `steps`; `inverse_sqrt`, sqrt(warmup / done).
    """
    if done < warmup:
        return done / warmup
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min((done - warmup) / max(steps - warmup, 1), 1)))
    if schedule == "inverse_sqrt":
        return math.sqrt(max(warmup, 1) / max(done, warmup, 1))
    return 1.0
