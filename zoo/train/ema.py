"""Moving averages of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class EMA:
    """An exponential moving average of a model's parameters, float32, that starts as a copy of them.

    After every update: average = decay * average + (1 - decay) * parameters.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = list(model.parameters())
        self.averages = [p.detach().float().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        torch._foreach_lerp_(self.averages, [p.detach() for p in self.parameters], 1 - self.decay)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by parameter name."""
        return dict(zip(self.names, self.averages))

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over averages saved by name."""
        for name, average in zip(self.names, self.averages):
            average.copy_(tensors[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model computes with the averages; the weights come back as they were."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for i, parameter in enumerate(self.parameters):
            parameter.data, self.averages[i] = self.averages[i], parameter.data
