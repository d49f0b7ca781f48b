"""Weights of one network as the start of another: a larger grid, other classes, other channels.

A part whose tensors depend on such sizes says how they change: `adapt(name, saved)` gets the saved tensor of one of
its own parameters or buffers and returns it in the new shape, or None if nothing of it can be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

LISTED = 6


@dataclass
class Adapted:
    """What became of each tensor: names, with shapes where they changed."""

    taken: list[str] = field(default_factory=list)
    adapted: list[str] = field(default_factory=list)
    reset: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """A line for each fate but that of the tensors that were taken as they are, which are counted."""
        yield f"{len(self.taken)} tensors taken as they are"
        rest = {"adapted": self.adapted, "start anew": self.reset, "dropped": self.dropped}
        for fate, names in rest.items():
            if names:
                more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
                yield f"{len(names)} {fate}: {', '.join(names[:LISTED])}{more}"


@torch.no_grad()
def adapt(backbone: nn.Module, saved: Mapping[str, Tensor]) -> Adapted:
    """Bring saved weights into a freshly initialised backbone, each part adapting its own."""
    own, done = backbone.state_dict(), Adapted()
    for name, tensor in own.items():
        found = saved.get(name)
        if found is None:
            done.reset.append(f"{name} {_shape(tensor)}")
        elif found.shape == tensor.shape:
            tensor.copy_(found)
            done.taken.append(name)
        elif (fitting := _by_its_part(backbone, name, found)) is not None:
            tensor.copy_(fitting)
            done.adapted.append(f"{name} {_shape(found)} -> {_shape(tensor)}")
        else:
            done.reset.append(f"{name} {_shape(found)} -> {_shape(tensor)}")
    done.dropped = [f"{name} {_shape(tensor)}" for name, tensor in saved.items() if name not in own]
    return done


def _by_its_part(backbone: nn.Module, name: str, saved: Tensor) -> Tensor | None:
    """What the innermost module around a tensor that knows how to adapt makes of the saved one."""
    path = name.split(".")
    for depth in range(len(path) - 1, -1, -1):
        part: Any = backbone.get_submodule(".".join(path[:depth]))
        if hasattr(part, "adapt"):
            return part.adapt(".".join(path[depth:]), saved)
    return None


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "number"
