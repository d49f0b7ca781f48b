"""The causal convolution as PyTorch custom operators; see the scan's `operator.py`, which is built the same way."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

from zoo.ops import directions, flops
from zoo.ops.causal_conv.inputs import NDIM, Inputs
from zoo.ops.dispatch import Problem, choose


def conv_backend(x: Inputs, backend: str) -> ModuleType:
    return choose("causal_conv", Problem(x.x.device, x.x.dtype, x.weight.shape[-1]), backend)


@torch.library.custom_op("zoo::causal_conv", mutates_args=())
def conv(x: Tensor, weight: Tensor, bias: Tensor | None, order: Tensor | None, silu: bool, backend: str) -> Tensor:
    """y, for an order of directions the result of each, (directions, batch, length, channels)."""
    inputs = Inputs(x, weight, bias, order, silu)
    run = conv_backend(inputs, backend)
    if directions.apart(run, inputs):
        return torch.stack([run.forward(one) for one in directions.each(inputs, NDIM)])
    return run.forward(inputs)


@conv.register_fake
def _(x, weight, bias, order, silu, backend):
    ways = directions.count(order)
    return x.new_empty((ways, *x.shape[-3:]) if ways else x.shape)


@torch.library.custom_op("zoo::causal_conv_backward", mutates_args=())
def conv_backward(
    gy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, order: Tensor | None, silu: bool, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias in the dtype of each; an empty tensor for no bias."""
    inputs = Inputs(x, weight, bias, order, silu)
    run = conv_backend(inputs, backend)
    if directions.apart(run, inputs):
        found = [run.backward(one, g) for one, g in zip(directions.each(inputs, NDIM), gy)]
        gradients = directions.gather(found, inputs, NDIM)
    else:
        gradients = run.backward(inputs, gy)
    return tuple(x.new_empty(0) if t is None else g.to(t.dtype).contiguous() for t, g in zip(inputs[:3], gradients))


@conv_backward.register_fake
def _(gy, x, weight, bias, order, silu, backend):
    return tuple(x.new_empty(0) if t is None else t.new_empty(t.shape) for t in (x, weight, bias))


def _setup_context(ctx, inputs, output):
    *tensors, ctx.silu, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _backward(ctx, gy):
    x, weight, bias, order = ctx.saved_tensors
    gx, gw, gb = conv_backward(gy, x, weight, bias, order, ctx.silu, ctx.backend)
    return gx, gw, None if bias is None else gb, None, None, None


conv.register_autograd(_backward, setup_context=_setup_context)
flops.register(torch.ops.zoo.causal_conv, flops.causal_conv)
flops.register(torch.ops.zoo.causal_conv_backward, flops.causal_conv_backward)
