"""The calls of our operators that are measured: shapes, inputs, and how much work each is.

Legend: B batch, L length, E channels, N state of a scan, W width of a convolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.ops import flops
from zoo.ops.causal_conv.inputs import Inputs as ConvInputs
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan.inputs import Inputs as ScanInputs

Direction = Literal["forward", "backward"]


@dataclass(frozen=True)
class Case:
    """One call of an operator at one size; `shuffled` gives it a random order."""

    op: str
    direction: Direction
    batch: int
    channels: int
    length: int
    size: int  # state of a scan, width of a convolution
    shuffled: bool = False

    @property
    def name(self) -> str:
        """For instance "selective_scan forward (2,3072,4494)": (batch, channels, length), as peers are quoted."""
        text = f"{self.op} {self.direction} ({self.batch},{self.channels},{self.length})"
        return f"{text} shuffled" if self.shuffled else text

    def problem(self, device: torch.device, dtype: torch.dtype) -> Problem:
        """What a backend is asked about."""
        return Problem(device, dtype, self.size)

    @property
    def updates(self) -> int:
        """State updates, or taps: what a rate of the operator counts."""
        return self.batch * self.channels * self.length * self.size

    @property
    def macs(self) -> int:
        """Multiply-adds by the operator's registered formula."""
        sequence, weight = (self.batch, self.length, self.channels), (self.channels, self.size)
        given = (sequence, sequence, weight) if self.op == "selective_scan" else (sequence, weight)
        if self.direction == "forward":
            return getattr(flops, self.op)(*given) // 2
        kept = (None, None) if self.op == "selective_scan" else (None,)
        return getattr(flops, f"{self.op}_backward")(*kept, *given) // 2

    @property
    def exponentials(self) -> int:
        """One for every state update; a backward pass needs each again."""
        return self.updates if self.op == "selective_scan" else 0

    def bytes(self, itemsize: int) -> int:
        """Least traffic: every input read once, every output written once."""
        sequence, weights = self.batch * self.length * self.channels, self.batch * self.length * self.size
        if self.op == "causal_conv":
            return itemsize * sequence * (2 if self.direction == "forward" else 3)  # x y; x gy gx
        if self.direction == "forward":
            return itemsize * (4 * sequence + 2 * weights)  # u dt z y; B C
        return itemsize * (7 * sequence + 4 * weights)  # u dt z gy gu gdt gz; B C gB gC


GPU_CASES = (
    *(Case("selective_scan", "forward", b, e, n, 16) for b, e, n in (
        (128, 1024, 365), (32, 3072, 273), (2, 3072, 366), (2, 3072, 1230), (2, 3072, 4494), (2, 3072, 9806),
        (1, 3072, 9806))),
    *(Case("selective_scan", "forward", b, e, n, 16, shuffled=True) for b, e, n in (
        (128, 1024, 365), (2, 3072, 366), (2, 3072, 4494))),
    *(Case("selective_scan", "backward", b, e, n, 16) for b, e, n in (
        (128, 1024, 365), (32, 3072, 273), (8, 3072, 1056), (2, 3072, 4494))),
    *(Case("causal_conv", way, 128, 1024, 273, 4) for way in ("forward", "backward")),
)  # fmt: skip

CPU_CASES = (
    *(Case("selective_scan", "forward", b, e, n, 16) for b, e, n in ((8, 256, 365), (2, 512, 366), (2, 512, 1230))),
    Case("selective_scan", "forward", 2, 512, 366, 16, shuffled=True),
    *(Case("selective_scan", "backward", b, e, n, 16) for b, e, n in ((8, 256, 365), (2, 512, 366))),
    *(Case("causal_conv", way, 8, 256, 365, 4) for way in ("forward", "backward")),
)


def inputs(case: Case, device: torch.device, dtype: torch.dtype, layout: str, seed: int) -> Any:
    """The operator's inputs, drawn like a Mamba block's.

    Args:
        layout: of the memory behind the (B,L,E) tensors: "channel_last", or "channel_first" as some peers want it.
    """
    generator = torch.Generator(device).manual_seed(seed)
    B, L, E, N = case.batch, case.length, case.channels, case.size

    def sequence(last: int) -> Tensor:
        shape = (B, last, L) if layout == "channel_first" else (B, L, last)
        x = torch.randn(shape, generator=generator, device=device).to(dtype)
        return x.transpose(1, 2) if layout == "channel_first" else x

    def weights(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    order = torch.randperm(L, generator=generator, device=device).int() if case.shuffled else None
    if case.op == "causal_conv":
        return ConvInputs(x=sequence(E), weight=weights(E, N, dtype=dtype), bias=weights(E, dtype=dtype), order=order,
                          silu=True)  # fmt: skip
    A = -torch.arange(1, N + 1, device=device, dtype=torch.float32).expand(E, N).contiguous()
    return ScanInputs(u=sequence(E), dt=sequence(E), A=A, B=sequence(N), C=sequence(N), D=weights(E), z=sequence(E),
                      dt_bias=weights(E) - 4, order=order, softplus=True, zoh=False)  # fmt: skip


def prepare(case: Case, module: Any, x: Any) -> Callable[[], Any]:
    """The call of a backend on these inputs; for a backward pass, what it needs of the forward pass is there."""
    if case.direction == "forward":
        return (lambda: module.forward(x, False)) if case.op == "selective_scan" else (lambda: module.forward(x))
    first = x[0]
    gy = torch.empty_like(first).copy_(torch.randn_like(first, dtype=torch.float32))  # in the layout of the first
    if case.op == "selective_scan":
        states = module.forward(x, True)[1]
        return lambda: module.backward(x, states, gy)
    return lambda: module.backward(x, gy)
