"""Calls in several directions, of which some tensors are each direction's own; the truth is one after the other."""

from __future__ import annotations

import torch
from ops_cases import _with_gradients, conv_case, scan_case
from torch import Tensor

from zoo.ops.causal_conv import naive as naive_conv
from zoo.ops.selective_scan import naive as naive_scan

SCAN_SHARED = {  # what is shared; "own", "step", "decay" and "none" as in the mixer bimamba
    "own": ("z",),
    "step": ("u", "z"),
    "decay": ("u", "dt", "B", "C", "D", "z", "dt_bias"),
    "none": ("u", "dt", "A", "B", "C", "D", "z", "dt_bias"),
    "mixed": ("dt", "C", "D"),
}
CONV_SHARED = {"own": ("x",), "all": (), "weights": ("weight",), "none": ("x", "weight", "bias")}


def several(make, shared: tuple[str, ...], ways: int, *shape, **options) -> dict[str, Tensor]:
    """The case of `make`, with a dimension of `ways` in front of all that is not shared."""
    cases = [make(*shape, **options, seed=seed) for seed in range(ways)]
    return {k: x if k in shared else torch.stack([case[k] for case in cases]) for k, x in cases[0].items()}


def orders_of(length: int, ways: int, rows: int = 1) -> Tensor:
    """(ways, rows, steps): a random order, its reverse, and so on."""
    steps = [torch.randperm(length, generator=torch.Generator().manual_seed(k // 2)) for k in range(ways)]
    return torch.stack([s.flip(0) if k % 2 else s for k, s in enumerate(steps)]).view(ways, rows, -1).int()


def run(op, case: dict[str, Tensor], **options) -> dict[str, Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in case.items()}
    return _with_gradients(op(**leaves, **options), leaves)


def true_scans(case: dict[str, Tensor], order: Tensor, zoh: bool = False) -> dict[str, Tensor]:
    """The sum of separate scans by the naive loop in float64, and its gradients by autograd."""
    leaves = {name: x.detach().double().requires_grad_() for name, x in case.items()}
    own = [_of(leaves, scan_case(1, 1, 1, 1), k) for k in range(len(order))]
    return _with_gradients(sum(naive_scan.selective_scan(**x, order=o, zoh=zoh) for x, o in zip(own, order)), leaves)


def true_convs(case: dict[str, Tensor], order: Tensor) -> dict[str, Tensor]:
    leaves = {name: x.detach().double().requires_grad_() for name, x in case.items()}
    own = [_of(leaves, conv_case(1, 1, 1), k) for k in range(len(order))]
    y = [naive_conv.causal_conv(**x, order=o, silu=True) for x, o in zip(own, order)]
    return _with_gradients(torch.stack(y), leaves)


def _of(leaves: dict[str, Tensor], single: dict[str, Tensor], k: int) -> dict[str, Tensor]:
    return {name: x[k] if x.ndim > single[name].ndim else x for name, x in leaves.items()}

