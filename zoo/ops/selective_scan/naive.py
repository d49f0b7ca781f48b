"""The truth: the selective scan as the plain loop of its definition, on any device, in float64 too.

    h = exp(dt A) h + W u B,   y = (h . C) + D u,   y *= silu(z)        W = dt (euler) or (exp(dt A) - 1) / A (zoh)

`selective_scan` is differentiable by autograd. `backward` is its adjoint by hand, because autograd is off inside a
custom operator; the tests hold it against autograd. Legend: B batch, L length, E channels, N state, R = B * rows
sequences, T steps of a row.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops.dispatch import Problem
from zoo.ops.selective_scan.inputs import Inputs, working_dtype

name = "naive"


def supports(problem: Problem) -> str | None:
    return None


def states_shape(x: Inputs) -> tuple[int, ...]:
    return (0,)  # nothing is kept: backward walks the whole sequence again


def forward(x: Inputs, save: bool) -> tuple[Tensor, Tensor]:
    y = selective_scan(*x[:11])
    return y, y.new_empty(0, dtype=torch.float32)


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None = None, z: Tensor | None = None,
    dt_bias: Tensor | None = None, order: Tensor | None = None, softplus: bool = True, zoh: bool = False,
) -> Tensor:  # fmt: skip
    """The definition, step by step; arguments as in `zoo.ops.selective_scan`."""
    rows, (u_, dt_, A, B, C, D, z, dt_bias) = _prepare(Inputs(u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh))
    dt_ = _step_size(dt_, dt_bias, softplus)
    h = u_.new_zeros(u_.shape[0], *A.shape)
    outputs = []
    for t in range(u_.shape[1]):
        x = dt_[:, t, :, None] * A
        h = x.exp() * h + _weight(dt_[:, t, :, None], x, zoh) * u_[:, t, :, None] * B[:, t, None, :]
        outputs.append((h * C[:, t, None, :]).sum(-1))
    y = torch.stack(outputs, 1)
    y = y if D is None else y + D * u_
    y = y if z is None else y * torch.nn.functional.silu(z)
    return orders.put(y, rows).to(u.dtype)


def backward(x: Inputs, states: Tensor, gy: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (u, dt, A, B, C, D, z, dt_bias), in the working precision."""
    rows, (u, dt_raw, A, B, C, D, z, dt_bias) = _prepare(x)
    dt = _step_size(dt_raw, dt_bias, x.softplus)
    gy = orders.take(gy.to(u.dtype), rows)

    h = [u.new_zeros(u.shape[0], *A.shape)]
    for t in range(u.shape[1]):
        e = dt[:, t, :, None] * A
        h.append(e.exp() * h[-1] + _weight(dt[:, t, :, None], e, x.zoh) * u[:, t, :, None] * B[:, t, None, :])
    y = torch.stack([(h[t + 1] * C[:, t, None, :]).sum(-1) for t in range(u.shape[1])], 1)
    y = y if D is None else y + D * u

    gz = None
    if z is not None:
        s = z.sigmoid()
        gz, gy = gy * y * s * (1 + z * (1 - s)), gy * z * s
    gu = torch.zeros_like(u) if D is None else gy * D
    gdt, gA, gB, gC = torch.zeros_like(dt), torch.zeros_like(A), torch.zeros_like(B), torch.zeros_like(C)
    gh = torch.zeros_like(h[0])
    for t in reversed(range(u.shape[1])):
        dt_t, u_t, B_t = dt[:, t, :, None], u[:, t, :, None], B[:, t, None, :]
        e = dt_t * A
        a, w = e.exp(), _weight(dt_t, e, x.zoh)
        gh = gh + gy[:, t, :, None] * C[:, t, None, :]
        gC[:, t] = (gy[:, t, :, None] * h[t + 1]).sum(1)
        gB[:, t] = (gh * w * u_t).sum(1)
        gu[:, t] += (gh * w * B_t).sum(-1)
        # dW/d(dt) is 1 (euler) or exp(dt A) (zoh: the integral's end moves); dW/dA is 0 or dt^2 phi'(dt A)
        gdt[:, t] = (gh * (A * a * h[t] + (a if x.zoh else 1) * u_t * B_t)).sum(-1)
        gA += (gh * (dt_t * a * h[t] + (dt_t**2 * _phi_slope(e) * u_t * B_t if x.zoh else 0))).sum(0)
        gh = gh * a
    if x.softplus:
        gdt = gdt * (dt_raw if dt_bias is None else dt_raw + dt_bias).sigmoid()

    gD = None if D is None else (gy * u).sum((0, 1))
    gbias = None if dt_bias is None else gdt.sum((0, 1))
    gu, gdt, gB, gC = (orders.put(g, rows) for g in (gu, gdt, gB, gC))
    return gu, gdt, gA, gB, gC, gD, None if gz is None else orders.put(gz, rows), gbias


def _prepare(x: Inputs) -> tuple[Tensor, list[Any]]:
    """All tensors in the working precision; those with a length cut into the order's rows."""
    rows = orders.rows(x.order, x.u.shape[1], x.u.device)
    tensors = [t if t is None else t.to(working_dtype(x.u)) for t in x[:8]]
    return rows, [orders.take(t, rows) if t is not None and t.ndim == 3 else t for t in tensors]


def _step_size(dt: Tensor, bias: Tensor | None, softplus: bool) -> Tensor:
    dt = dt if bias is None else dt + bias
    # not torch's softplus, which is x itself above 20: 2e-9 off, visible in float64
    return torch.logaddexp(dt, dt.new_zeros(())) if softplus else dt


def _weight(dt: Tensor, x: Tensor, zoh: bool) -> Tensor:
    """What multiplies u B: dt (euler), or dt phi(x) with phi(x) = (exp(x) - 1) / x, phi(0) = 1 (zoh, x = dt A)."""
    return dt * _phi(x) if zoh else dt


def _phi(x: Tensor) -> Tensor:
    # the series replaces 0 / 0; `where` alone would still send a NaN into the gradient, hence the safe divisor
    small = x.abs() < 1e-5
    safe = torch.where(small, torch.ones_like(x), x)
    return torch.where(small, 1 + x / 2 + x * x / 6, torch.expm1(safe) / safe)


def _phi_slope(x: Tensor) -> Tensor:
    """phi'(x) = (exp(x) - phi(x)) / x; by its series near 0, where the difference cancels."""
    small = x.abs() < 0.3
    safe = torch.where(small, torch.ones_like(x), x)
    series, term = torch.zeros_like(x), torch.full_like(x, 0.5)
    for k in range(1, 14):  # sum of k x^(k-1) / (k+1)!
        series, term = series + term * k, term * x / (k + 2)
    return torch.where(small, series, (safe.exp() - torch.expm1(safe) / safe) / safe)
