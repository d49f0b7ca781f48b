"""Number formats of training: process-wide switches and the scale of float16 losses."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from zoo.ops.precision import allow_tf32


def configure(device: torch.device, precision: str, deterministic: bool) -> None:
    """Process-wide switches: TF32 for every precision but `fp32`, deterministic kernels if asked for."""
    allow_tf32(precision)
    torch.backends.cudnn.benchmark = not deterministic and device.type == "cuda"
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)


class LossScale:
    """The factor that keeps float16 gradients above zero: halved on overflow, doubled after `patience` good updates.

    The rule of torch.amp.GradScaler, as tensors on the device, so that no update waits for the host; for
    the other precisions it is 1 for ever. Source: Micikevicius et al. 2018 (1710.03740), section 3.2.
    """

    def __init__(self, precision: str, device: torch.device, *, start: float = 2.0**16, patience: int = 2000):
        self.active, self.patience = precision == "fp16", patience
        self.value = torch.tensor(start if self.active else 1.0, device=device)
        self.good = torch.zeros((), device=device)

    def update(self, overflow: Tensor) -> None:
        """Move after an update; overflow is a bool tensor ()."""
        if not self.active:
            return
        self.good = torch.where(overflow, 0.0, self.good + 1)
        doubled = self.good >= self.patience
        self.value = torch.where(overflow, self.value / 2, torch.where(doubled, self.value * 2, self.value))
        self.good = torch.where(doubled, 0.0, self.good)

    def state(self) -> list[float]:
        """Its two numbers, for a checkpoint."""
        return [self.value.item(), self.good.item()]

    def load(self, state: list[float]) -> None:
        """Take over `state()`."""
        self.value.fill_(state[0])
        self.good.fill_(state[1])
