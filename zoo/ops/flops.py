"""Multiply-adds of our operators for torch's FlopCounterMode, and a counter by module.

The scan's count is the recurrence's: for every channel, position and state one for the decay, one for the input and one
for the read-out, and two more for D and the gate; the exponential is not counted. A FLOP count is twice this, and a
backward pass counts as two forward passes, as torch counts its own operators.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.utils import flop_counter


def register(operator: object, formula: Callable[..., int]) -> None:
    """Tell FlopCounterMode the FLOPs of an operator; the formula receives shapes in place of tensors."""
    flop_counter.register_flop_formula(operator)(formula)


def _directions(order) -> int:
    """How many the shape of an order has."""
    return order[0] if order is not None and len(order) == 3 else 1


def selective_scan(u, dt, A, B=None, C=None, D=None, z=None, dt_bias=None, order=None, *args, out_shape=None,
                   **kwargs) -> int:  # fmt: skip
    batch, length, channels = u[-3:]
    return 2 * _directions(order) * batch * length * channels * (3 * A[-1] + 2)


def selective_scan_backward(gy, states, *args, out_shape=None, **kwargs) -> int:
    return 2 * selective_scan(*args)


def mamba(n, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj, *args, out_shape=None,
          **kwargs) -> int:  # fmt: skip
    """The four projections, the convolution and the gated scan of a mixer."""
    batch, length, _ = n
    projections = sum(rows * columns for rows, columns in (in_proj, x_proj, dt_proj, out_proj))
    sequence = (batch, length, A_log[0])
    scan = selective_scan(sequence, None, A_log)
    return 2 * batch * length * projections + scan + causal_conv(sequence, conv_weight)


def mamba_backward(g, kept, *weights, out_shape=None, **kwargs) -> int:
    return 2 * mamba(*weights)


def causal_conv(x, weight, bias=None, order=None, *args, out_shape=None, **kwargs) -> int:
    batch, length, channels = x[-3:]
    return 2 * _directions(order) * batch * length * channels * weight[-1]


def causal_conv_backward(gy, *args, out_shape=None, **kwargs) -> int:
    return 2 * causal_conv(*args)


def attention_on_cpu(query, key, value, *args, out_shape=None, **kwargs) -> int:
    """softmax(q k') v; torch registers its other attention kernels itself, but not this one."""
    return flop_counter.sdpa_flop_count(query, key, value)


def attention_on_cpu_backward(gy, query, key, value, *args, out_shape=None, **kwargs) -> int:
    return flop_counter.sdpa_backward_flop_count(gy, query, key, value)


register(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu, attention_on_cpu)
register(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward, attention_on_cpu_backward)


def count_macs(module: nn.Module | Callable, *args: object, **kwargs: object) -> tuple[int, dict[str, int]]:
    """Multiply-adds of one call `module(*args, **kwargs)`, in all and by submodule.

    Args:
        module: what to call; a model on the meta device costs no memory and next to no time.
        args, kwargs: its inputs, on the same device.

    Returns:
        The total, and {qualified module name: multiply-adds inside it}; the call itself is "Global".
    """
    with flop_counter.FlopCounterMode(display=False) as counter:
        module(*args, **kwargs)
    by_module = {name: sum(ops.values()) // 2 for name, ops in counter.get_flop_counts().items()}
    return counter.get_total_flops() // 2, by_module
