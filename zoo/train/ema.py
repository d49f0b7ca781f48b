"""Moving averages of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zoo.train.shards import local, part_of, spread


class EMA:
    """An exponential moving average of a model's parameters, float32, that starts as a copy of them.

    After every update: average = decay * average + (1 - decay) * parameters.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.names = [name for name, _ in model.named_parameters()]
        self.parameters = list(model.parameters())
        self.held = [local(p.detach()) for p in self.parameters]  # where FSDP leaves a process a part only
        self.averages = [tensor.float().clone() for tensor in self.held]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the parameters as they are now."""
        torch._foreach_lerp_(self.averages, self.held, 1 - self.decay)

    def tensors(self) -> dict[str, Tensor]:
        """The averages by parameter name, spread as the parameters are; memory is shared."""
        return {n: part_of(average, p) for n, average, p in zip(self.names, self.averages, self.parameters)}

    @torch.no_grad()
    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over averages saved by name."""
        for name, average, parameter in zip(self.names, self.averages, self.parameters):
            average.copy_(local(spread(tensors[name], parameter, name)))

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the model computes with the averages; the weights come back as they were."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        """Values change places, memory does not: others hold on to it."""
        for average, tensor in zip(self.averages, self.held):
            weights = tensor.clone()
            tensor.copy_(average)
            average.copy_(weights)
