"""Gradients become their means over the processes, in messages that leave while a CUDA graph still computes others.

Source: PyTorch Distributed (arXiv 2006.15704, 3.2): buckets in the reverse order of parameters, overlapped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn

from zoo.train.ranks import Ranks

LARGE = 2**18
"""Elements from which on a gradient travels from where it lies."""
GROUP = 2**25
"""Elements from which on gradients leave together: each event leaves a gap in the graph (docs/training.md)."""
Marks = Mapping[int, Any]
"""Group of gradients -> the event in a CUDA graph after which they are complete."""


class Exchange:
    """Large gradients travel from where they lie, group after group; small ones in one message at the end.

    Groups are made from shapes alone: the same messages in the same order in every process, whoever replays a graph.

    Args:
        parameters: in the order in which backward completes their gradients; a group waits for those before it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], ranks: Ranks):
        self.ranks, self.parameters = ranks, [p for p in parameters if p.requires_grad]
        self.groups: list[list[nn.Parameter]] = []
        for p in self.parameters:
            if p.numel() < LARGE:
                continue
            last = self.groups[-1] if self.groups else []
            if not last or sum(q.numel() for q in last) >= GROUP or last[0].dtype != p.dtype:  # a message has one dtype
                self.groups.append([])
            self.groups[-1].append(p)
        self.aside = torch.cuda.Stream(ranks.device) if ranks.device.type == "cuda" else None

    @contextmanager
    def watched(self, mark: Callable[[], Any]) -> Iterator[Marks]:
        """Within it, backward marks the place where each group is complete; what it cannot mark is not among them."""
        marks: dict[int, Any] = {}

        def complete(i: int, arrived: Iterator[int], _: Any) -> None:
            if next(arrived) == len(self.groups[i]) and (event := mark()) is not None:
                marks[i] = event

        counts = [count(1) for _ in self.groups]
        hooks = [p.register_post_accumulate_grad_hook(partial(complete, i, counts[i]))
                 for i, group in enumerate(self.groups) for p in group]  # fmt: skip
        try:
            yield marks
        finally:
            for hook in hooks:
                hook.remove()

    def __call__(self, marks: Marks) -> None:
        """Every gradient becomes its mean; a group leaves when its mark is reached, or after all that was launched."""
        for p in self.parameters:
            if p.grad is None:  # the same messages from everybody
                p.grad = torch.zeros_like(p)
        messages, small = [], [p.grad for p in self.parameters if p.numel() < LARGE]
        for i, group in enumerate(self.groups):
            gradients = [p.grad for p in group]
            with self._after(marks.get(i)):
                messages += self.ranks.mean([g for g in gradients if g.is_contiguous()])
            small += [g for g in gradients if not g.is_contiguous()]
        if small:
            together = torch.cat([g.flatten() for g in small])
            messages += self.ranks.mean([together])
        for message in messages:
            message.wait()
        if small:
            parts = together.split([g.numel() for g in small])
            torch._foreach_copy_(small, [part.view_as(g) for g, part in zip(small, parts)])

    def _after(self, mark: Any) -> AbstractContextManager:
        if mark is None or self.aside is None:
            return nullcontext()
        self.aside.wait_event(mark)
        return torch.cuda.stream(self.aside)
