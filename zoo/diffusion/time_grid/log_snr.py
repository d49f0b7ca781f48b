from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("time_grid", "log_snr", aliases=("logSNR",))
@dataclass(kw_only=True)
class LogSNR:
    """Equal steps in log(alpha / sigma).

    Source: Lu et al. 2022 (2206.00927), the grid of DPM-Solver.
    """

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """steps + 1 times from start down to end, float64."""
        first, last = process.log_snr(start).item(), process.log_snr(end).item()
        times = process.time_of_log_snr(torch.linspace(first, last, steps + 1, dtype=torch.float64))
        times[0], times[-1] = start, end
        return times
