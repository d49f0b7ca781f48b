"""A whole Mamba mixer as one operator, which keeps little for its backward pass and computes the rest again."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops.mamba.operator import mixer
from zoo.ops.precision import product_dtype


def mamba(
    n: Tensor,
    in_proj: Tensor,
    conv_weight: Tensor,
    conv_bias: Tensor | None,
    x_proj: Tensor,
    dt_proj: Tensor,
    dt_bias: Tensor,
    A_log: Tensor,
    D: Tensor,
    out_proj: Tensor,
    order: Tensor | None = None,
    zoh: bool = False,
) -> Tensor:
    """Project, convolve and scan along `order`, gate, project back.

    x, z = in_proj n;  u = silu(conv(x));  dt, B, C = x_proj u;  y = scan(u, dt_proj dt, -exp(A_log), B, C, D) silu(z)
    For backward it keeps n, x, (dt, B, C) before dt's projection, and the scan's sparse states. z, u and dt are
    computed again, and y falls off the scan's own backward pass, where that can give it; a composition of the parts
    keeps more than twice as much. Elsewhere, on a CPU, memory is worth less than time, and they are kept too.

    Args:
        n: tokens, (batch, length, width).
        in_proj: (2 inner, width), the part of x first.
        conv_weight, conv_bias: (inner, taps) and (inner,).
        x_proj: (rank + 2 state, inner).
        dt_proj, dt_bias: (inner, rank) and (inner,).
        A_log, D: (inner, state) and (inner,).
        out_proj: (width, inner).
        order: position visited at each step, (length,) or (rows, steps), as in `selective_scan`.
        zoh: the paper's step for B instead of the released code's.

    Returns:
        (batch, length, width), in autocast's dtype where that is on, else in n's. Products run in that dtype; the
        convolution's weights, A_log, D and dt_bias stay as they are.

    Raises:
        ShapeError: the order does not fit the tokens.

    Source: Mamba (arXiv 2312.00752, Algorithm 2 and Figure 3; section 3.3.2 on computing again).
    """
    orders.check(order, n.shape[1], n.device, "zoo.ops.mamba")
    dtype = product_dtype(n)
    n, in_proj, x_proj, dt_proj, out_proj = (t.to(dtype) for t in (n, in_proj, x_proj, dt_proj, out_proj))
    tensors = (n, in_proj, conv_weight, conv_bias, x_proj, dt_proj, dt_bias, A_log, D, out_proj)
    save = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    return mixer(*tensors, order, zoh, save)[0]
