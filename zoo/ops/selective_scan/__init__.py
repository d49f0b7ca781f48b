"""The selective scan of Mamba (Gu and Dao 2023, https://arxiv.org/abs/2312.00752), in any scan order."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ShapeError
from zoo.ops import directions
from zoo.ops import order as orders
from zoo.ops.selective_scan.operator import scan

WHERE = "zoo.ops.selective_scan"
DISCRETIZATIONS = ("euler", "zoh")


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = True,
    order: Tensor | None = None,
    discretization: str = "euler",
    backend: str = "auto",
) -> Tensor:
    """Run the selective state-space recurrence h = exp(dt A) h + W u B, y = h . C + D u, gated by silu(z).

    The state starts at 0, is float32 (float64 for float64 input), and follows `order`; every result stands at the
    position that it belongs to, so scan(x, order) = put(scan(take(x))). Several directions at once: an order of
    (directions, rows, steps) runs a scan along each and adds the results up; any tensor may then have a dimension of
    `directions` in front, for what is not shared.

    Args:
        u: input, (batch, length, channels).
        dt: step size before bias and softplus, (batch, length, channels).
        A: decay rates, negative, (channels, state).
        B: input weights, (batch, length, state).
        C: read-out weights, (batch, length, state).
        D: skip weights, (channels,).
        z: gate before silu, (batch, length, channels).
        dt_bias: added to dt before the softplus, (channels,).
        dt_softplus: whether dt passes a softplus.
        order: position visited at each step, int32 or int64, (length,), or (rows, steps): every row starts from
            state 0, and the rows together visit every position once (not checked); or (directions, rows, steps).
        discretization: "euler" W = dt (released Mamba code), or "zoh" W = (exp(dt A) - 1) / A
            (Eq. 2 of the DiM paper, https://arxiv.org/abs/2405.14224).
        backend: "auto", or the name of one in `zoo.ops.dispatch.BACKENDS`.

    Returns:
        y, (batch, length, channels), u's dtype.

    Raises:
        ShapeError: shapes, devices or dtypes do not fit together.
        BackendError: the backend asked for by name cannot run this.
    """
    _check(u, dt, A, B, C, D, z, dt_bias, order, discretization)
    tensors = (u, dt, A, B, C, D, z, dt_bias)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    return scan(*tensors, order, dt_softplus, discretization == "zoh", save, backend)[0]


def _check(u, dt, A, B, C, D, z, dt_bias, order, discretization) -> None:
    if discretization not in DISCRETIZATIONS:
        what = f"no discretization {discretization!r}"
        raise ShapeError(what, where=WHERE, allowed=DISCRETIZATIONS, given=discretization)
    beside = f"u {tuple(u.shape)} and A {tuple(A.shape)}"
    ways = directions.count(order)
    if u.ndim - 3 not in (0, ways > 0) or A.ndim - 2 not in (0, ways > 0):
        raise ShapeError(f"given {beside}", where=WHERE, allowed="u (batch, length, channels), A (channels, state)",
                         fix="only an order of (directions, rows, steps) allows a dimension in front")
    batch, length, channels = u.shape[-3:]
    state = A.shape[-1]
    if length == 0 or state == 0:
        raise ShapeError(f"length is {length} and state is {state}", where=WHERE, allowed="at least 1")
    sequence, weights, vector = (batch, length, channels), (batch, length, state), (channels,)
    wanted = {"u": (u, sequence), "dt": (dt, sequence), "z": (z, sequence), "A": (A, (channels, state))}
    wanted |= {"B": (B, weights), "C": (C, weights), "D": (D, vector), "dt_bias": (dt_bias, vector)}
    for name, (tensor, shape) in wanted.items():
        if tensor is None:
            continue
        if tensor.shape != shape and not (ways and tensor.shape == (ways, *shape)):
            allowed = f"{shape}, or that with the {ways} directions in front" if ways else str(shape)
            raise ShapeError(f"{name} is {tuple(tensor.shape)} beside {beside}", where=WHERE, allowed=allowed)
        if tensor.device != u.device or not tensor.is_floating_point():
            given = f"{name} is {tensor.dtype} on {tensor.device}"
            raise ShapeError(given, where=WHERE, allowed=f"a floating dtype on {u.device}")
    orders.check(order, length, u.device, WHERE)
