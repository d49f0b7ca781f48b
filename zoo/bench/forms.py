"""The ways to run one and the same network: as written, as a CUDA graph, compiled, with each attention kernel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from torch import nn

from zoo.bench.clock import Call, captured
from zoo.train.parallel import compile_blocks

ATTENTION = {"cudnn": "CUDNN_ATTENTION", "flash": "FLASH_ATTENTION"}  # torch's names
ALL_ATTENTION = {**ATTENTION, "math": "MATH"}  # math holds every score in memory, as attention was written in 2022


class Form(NamedTuple):
    """One way; `attention` None leaves the choice to torch."""

    name: str
    graph: bool = False
    compiled: bool = False
    attention: str | None = None


EAGER, GRAPH = Form("eager"), Form("graph", graph=True)
COMPILED = Form("compiled", compiled=True)
COMPILED_GRAPH = Form("compiled, graph", graph=True, compiled=True)


def main_form(device: torch.device, backward: bool = False) -> Form:
    """The form of the curves: a CUDA graph, whose time is the GPU's alone; elsewhere and with gradients, as written."""
    return GRAPH if device.type == "cuda" and not backward else EAGER


def more_forms(device: torch.device, *, attends: bool, compiled: bool, backward: bool = False) -> list[Form]:
    """The other forms, which are looked at in some points only."""
    if device.type != "cuda" or backward:
        return [COMPILED] * compiled
    forms = [EAGER, *(Form(f"graph, {name}", graph=True, attention=name) for name in ATTENTION if attends)]
    return forms + [COMPILED_GRAPH] * compiled


def prepare(form: Form, backbone: nn.Module, step: Callable[[nn.Module], object]) -> Call:
    """What to time for a form; a compiled form changes `backbone`, which must then be its own.

    Raises: RuntimeError if the network cannot be captured or compiled in this form.
    """
    if form.compiled:
        compile_blocks(backbone)
    with attention(form.attention):
        step(backbone)
        if form.graph:
            return Call(captured(lambda: step(backbone)))
    return Call(lambda: step(backbone), wall=True)


def attention(name: str | None) -> AbstractContextManager[object]:
    """Force one of torch's attention kernels, by the name that is used here."""
    if name is None:
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel([getattr(SDPBackend, ALL_ATTENTION[name])])
