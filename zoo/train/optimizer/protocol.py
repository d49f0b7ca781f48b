"""What training expects from a part of the shelf `optimizer`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn


class Optimizer(Protocol):
    """A function of (name, parameter) pairs. Its `lr` is the full rate; the loop sets each update's own."""

    def __call__(self, named: Iterable[tuple[str, nn.Parameter]]) -> torch.optim.Optimizer: ...
