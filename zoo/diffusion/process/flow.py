from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time
from zoo.registry import register


@register("process", "flow", aliases=("rectified_flow",))
class Flow(Gaussian):
    """Flow matching: a path from data (t = 0) to noise (t = 1) and its velocity dx/dt.

    `clock: data` is for networks whose time runs the other way (SiT, ZigMa: 1 is data); their velocity is
    then d x / d(network time) as well. The backbone receives `time_scale` times its clock.

    Sources: Liu et al. 2022 (2209.03003), Lipman et al. 2023 (2210.02747), Ma et al. 2024 (SiT, 2401.08740).
    """

    def __init__(
        self,
        *,
        predict: Literal["velocity", "eps", "x0", "v"] = "velocity",  # what the network gives
        path: Literal["linear", "gvp"] = "linear",  # linear: 1 - t and t; gvp: cosine and sine
        clock: Literal["noise", "data"] = "noise",  # what the network's time 1 is; ZigMa and SiT: data
        time_scale: float = 1000.0,  # network time at clock 1
    ):
        self.predict, self.path, self.clock, self.time_scale = predict, path, clock, time_scale
        self.check_prediction("flow")

    def alpha(self, t: float | Tensor) -> Tensor:
        time = as_time(t)
        return 1 - time if self.path == "linear" else (time * (math.pi / 2)).cos()

    def sigma(self, t: float | Tensor) -> Tensor:
        time = as_time(t)
        return time if self.path == "linear" else (time * (math.pi / 2)).sin()

    def rates(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        t = as_time(t)
        if self.path == "linear":
            return -torch.ones_like(t), torch.ones_like(t)
        return -math.pi / 2 * self.sigma(t), math.pi / 2 * self.alpha(t)

    def time_of_log_snr(self, log_snr: float | Tensor) -> Tensor:
        ratio = (-as_time(log_snr)).exp()  # sigma / alpha
        return (-as_time(log_snr)).sigmoid() if self.path == "linear" else 2 / math.pi * ratio.atan()

    def network_time(self, t: float | Tensor) -> Tensor:
        t = as_time(t)
        return self.time_scale * (t if self.clock == "noise" else 1 - t)

    def target_factors(self, t: float | Tensor) -> tuple[Tensor, Tensor]:
        a, b = super().target_factors(t)
        return (-a, -b) if self.predict == "velocity" and self.clock == "data" else (a, b)
