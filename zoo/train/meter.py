"""Means of loss and gradient norm since the last line of metrics, summed on the device."""

from __future__ import annotations

import torch
from torch import Tensor


class Meter:
    """Sums of loss and norm, updates counted and updates left out; the host reads them when it must."""

    def __init__(self, device: torch.device):
        self.sums = torch.zeros(4, dtype=torch.float32, device=device)
        self.left_out = torch.tensor([0.0, 0.0, 0.0, 1.0], device=device)

    def add(self, loss: Tensor, norm: Tensor, skipped: Tensor) -> None:
        """Take in one update; one that was left out adds to no mean."""
        row = torch.stack([loss, norm, torch.ones_like(loss), torch.zeros_like(loss)])
        self.sums += torch.where(skipped, self.left_out, row)

    def read(self) -> dict[str, float]:
        """The means, and an empty meter."""
        loss, norm, count, skipped = self.sums.tolist()
        self.sums.zero_()
        means = {"loss": loss / count, "grad_norm": norm / count} if count else {}
        return {**means, "skipped": int(skipped)} if skipped else means

    def state(self) -> list[float]:
        """The sums, for a checkpoint."""
        return self.sums.tolist()

    def load(self, state: list[float]) -> None:
        """Take over `state()`."""
        self.sums.copy_(torch.tensor(state))
