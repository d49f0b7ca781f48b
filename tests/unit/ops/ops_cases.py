"""Inputs for the operator tests, and their comparison with the naive loop in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo import ops
from zoo.ops.causal_conv import naive as naive_conv
from zoo.ops.selective_scan import naive as naive_scan

NAMES = ("u", "dt", "A", "B", "C", "D", "z", "dt_bias")


def scan_case(batch=2, length=9, channels=5, state=3, dtype=torch.float64, seed=0, without=()) -> dict[str, Tensor]:
    """Arguments of `selective_scan` by name, drawn like a Mamba block's."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    case = {name: normal(batch, length, channels) for name in ("u", "dt", "z")}
    case |= {name: normal(batch, length, state) for name in ("B", "C")}
    case |= {"A": -normal(channels, state).exp(), "D": normal(channels), "dt_bias": normal(channels) - 1}
    return {name: case[name] for name in NAMES if name not in without}


def run_scan(case: dict[str, Tensor], **options) -> dict[str, Tensor]:
    """y and every gradient, for a fixed gradient of y."""
    leaves = {name: x.detach().requires_grad_() for name, x in case.items()}
    return _with_gradients(ops.selective_scan(**leaves, **options), leaves)


def true_scan(case: dict[str, Tensor], dt_softplus=True, order=None, discretization="euler") -> dict[str, Tensor]:
    """The same by autograd through the naive loop in float64."""
    leaves = {name: x.detach().double().requires_grad_() for name, x in case.items()}
    zoh = discretization == "zoh"
    y = naive_scan.selective_scan(**leaves, softplus=dt_softplus, order=order, zoh=zoh)
    return _with_gradients(y, leaves)


def conv_case(batch=2, length=9, channels=5, width=4, dtype=torch.float64, bias=True, seed=0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = {"x": (batch, length, channels), "weight": (channels, width)} | ({"bias": (channels,)} if bias else {})
    return {k: torch.randn(*s, generator=generator, dtype=torch.float64).to(dtype) for k, s in shapes.items()}


def run_conv(case: dict[str, Tensor], **options) -> dict[str, Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in case.items()}
    return _with_gradients(ops.causal_conv(**leaves, **options), leaves)


def true_conv(case: dict[str, Tensor], order=None, activation="silu") -> dict[str, Tensor]:
    leaves = {name: x.detach().double().requires_grad_() for name, x in case.items()}
    return _with_gradients(naive_conv.causal_conv(**leaves, order=order, silu=activation == "silu"), leaves)


def random_order(length: int, rows: int = 1, seed: int = 0) -> Tensor:
    order = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    return order.int() if rows == 1 else order.view(rows, -1)


def assert_close(got: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    """Relative root mean square of every tensor below the tolerance."""
    assert got.keys() == wanted.keys()
    errors = {name: relative_rms(got[name], wanted[name]) for name in wanted}
    assert max(errors.values()) < tolerance, errors  # a NaN fails too


def relative_rms(got: Tensor, wanted: Tensor) -> float:
    got, wanted = got.detach().double().cpu(), wanted.detach().double().cpu()
    assert got.shape == wanted.shape
    return ((got - wanted).norm() / wanted.norm().clamp_min(1e-12)).item()


def _with_gradients(y: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(99)).bfloat16().to(y)  # the same in every dtype
    gradients = torch.autograd.grad(y, list(leaves.values()), gy)
    return {"y": y.detach()} | {f"grad {name}": g for name, g in zip(leaves, gradients)}
