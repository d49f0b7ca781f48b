"""CUDA graphs without CUDA."""

from __future__ import annotations

from contextlib import contextmanager

import torch


class Played:
    """A recorder as CUDA's own: what it captures is not carried out, and writes to the same memory at every replay."""

    uncounted = 0

    def __init__(self, parameters):
        self.parameters, self.found, self.errors, self.resets, self.tight = list(parameters), [], [], 0, False

    def reset(self):
        self.resets += 1

    def crowded(self):
        return self.tight

    @contextmanager
    def warming(self):
        found: list[str] = []
        yield found
        found += self.found

    def mark(self):
        """What the gradients are at this place."""
        return [None if p.grad is None else p.grad.clone() for p in self.parameters]

    def record(self, run):
        if self.errors:
            raise self.errors.pop(0)
        had = [p.grad for p in self.parameters]
        values = [None if g is None else g.clone() for g in had]
        loss, written = run(), [p.grad for p in self.parameters]
        for tensor, value in zip([loss, *written], [None, *values]):
            if tensor is not None:
                tensor.fill_(torch.nan) if value is None else tensor.copy_(value)

        def replay():
            now = [p.grad for p in self.parameters]
            self.hold(had)
            loss.copy_(run())
            for tensor, parameter in zip(written, self.parameters):
                if tensor is not None and tensor is not parameter.grad:
                    tensor.copy_(parameter.grad)
            self.hold(now)

        return replay, loss

    def hold(self, gradients):
        for parameter, gradient in zip(self.parameters, gradients):
            parameter.grad = gradient
