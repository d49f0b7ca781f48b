"""The selective scan as PyTorch custom operators: fake kernels for tracing and meta tensors, autograd, FLOP formulas.

The backend is chosen inside the operator, by device, dtype and size alone, so a traced graph holds only the request.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from zoo.ops import directions, flops
from zoo.ops.dispatch import Problem, choose
from zoo.ops.selective_scan.inputs import NDIM, Inputs, working_dtype


def scan_backend(x: Inputs, backend: str) -> ModuleType:
    return choose("selective_scan", Problem(x.u.device, x.u.dtype, x.A.shape[-1]), backend)


@torch.library.custom_op("zoo::selective_scan", mutates_args=())
def scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, dt_bias: Tensor | None,
    order: Tensor | None, softplus: bool, zoh: bool, save: bool, backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(y, what the backend keeps for backward: nothing unless `save`); y is the sum over the order's directions."""
    x = Inputs(u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh)
    run = scan_backend(x, backend)
    if not directions.apart(run, x):
        return run.forward(x, save)
    y, states = zip(*(run.forward(one, save) for one in directions.each(x, NDIM)))
    return directions.add(y), torch.stack(states)


@scan.register_fake
def _(u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh, save, backend):
    x = Inputs(u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh)
    return u.new_empty(u.shape[-3:]), empty_states(x, save, backend)


def empty_states(x: Inputs, save: bool, backend: str) -> Tensor:
    """In form what a backend keeps for backward; for tracing."""
    if not save or x.u.device.type == "meta":
        return x.u.new_empty(0, dtype=working_dtype(x.u))
    module, ways = scan_backend(x, backend), directions.each(x, NDIM)
    dtype = module.states_dtype(x) if hasattr(module, "states_dtype") else working_dtype(x.u)
    shape = module.states_shape(ways[0] if ways else x)
    return x.u.new_empty((len(ways), *shape) if ways else shape, dtype=dtype)


@torch.library.custom_op("zoo::selective_scan_backward", mutates_args=())
def scan_backward(
    gy: Tensor, states: Tensor,
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, z: Tensor | None, dt_bias: Tensor | None,
    order: Tensor | None, softplus: bool, zoh: bool, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of u ... dt_bias in the dtype of each; an empty tensor for one that is None."""
    x = Inputs(u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh)
    run = scan_backend(x, backend)
    if directions.apart(run, x):
        found = [run.backward(one, kept, gy) for one, kept in zip(directions.each(x, NDIM), states)]
        gradients = directions.gather(found, x, NDIM)
    else:
        gradients = run.backward(x, states, gy)
    return tuple(u.new_empty(0) if t is None else g.to(t.dtype).contiguous() for t, g in zip(x[:8], gradients))


@scan_backward.register_fake
def _(gy, states, u, dt, A, B, C, D, z, dt_bias, order, softplus, zoh, backend):
    return tuple(u.new_empty(0) if t is None else t.new_empty(t.shape) for t in (u, dt, A, B, C, D, z, dt_bias))


def _setup_context(ctx, inputs, output):
    *tensors, ctx.softplus, ctx.zoh, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx, gy, _):
    if gy is None:
        return (None,) * 13
    *tensors, states = ctx.saved_tensors
    arguments = [gy, states, *tensors, ctx.softplus, ctx.zoh, ctx.backend]
    kept = [g if t is not None else None for t, g in zip(tensors, scan_backward(*arguments))]
    return (*kept, None, None, None, None, None)


scan.register_autograd(_backward, setup_context=_setup_context)
flops.register(torch.ops.zoo.selective_scan, flops.selective_scan)
flops.register(torch.ops.zoo.selective_scan_backward, flops.selective_scan_backward)
