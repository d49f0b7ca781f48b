"""The residual stream's sum, its normalisation and its modulation, in one pass over memory where Triton runs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.ops import triton_launch
from zoo.ops.add_norm import operator
from zoo.ops.add_norm.rows import Row, RowSum, apart, modulated, plain
from zoo.ops.imagined import on_gpu
from zoo.ops.precision import product_dtype

__all__ = ["Row", "RowSum", "add_norm", "fused", "gated_add", "modulated", "plain"]

WIDEST = 8192  # a row stays in the registers of one program


def add_norm(
    x: Tensor,
    branch: Tensor | None,
    gate: Row | None,
    weight: Tensor | None,
    bias: Tensor | None,
    shift: Row | None,
    scale: Row | None,
    eps: float,
    centred: bool,
) -> tuple[Tensor, Tensor]:
    """s = x + gate * branch, and n = norm(s) * (1 + scale) + shift: what stands between two sublayers.

    Args:
        x: residual stream, (batch, length, width).
        branch: what a sublayer adds to it, like x, or None.
        gate: factor of the branch, (batch, 1, width), or None for 1.
        weight, bias: of the norm, (width,), or None for 1 and 0.
        shift, scale: modulation, (batch, 1, width), or None for 0.
        eps: added to the variance, or to the mean square.
        centred: layer norm if true (Ba et al., arXiv 1607.06450), else RMS norm (arXiv 1910.07467).

    gate, shift and scale may each be a `RowSum`: the fused kernel adds its two halves, in float32, in passing.

    Returns:
        s in x's dtype and n, each like x; under autocast n has autocast's dtype, where the fused kernel runs.
    """
    if fused(x):
        rows = *apart(gate), weight, bias, *apart(shift), *apart(scale)
        s, n = operator.add_norm(x, branch, *rows, eps, centred, product_dtype(x))
        return (x if branch is None else s), n
    s = x if branch is None else gated_add(x, branch, gate)
    affine = [None if p is None else p.to(s.dtype) for p in (weight, bias)]
    if centred:
        n = F.layer_norm(s, s.shape[-1:], *affine, eps)
    else:
        n = F.rms_norm(s, s.shape[-1:], affine[0], eps)
    return s, modulated(n, shift, scale)


def gated_add(x: Tensor, branch: Tensor, gate: Row | None) -> Tensor:
    """x + gate * branch, in x's dtype; arguments as in `add_norm`."""
    if gate is None:
        return x + branch
    return operator.gated_add(x, branch, *apart(gate)) if fused(x) else torch.addcmul(x, plain(gate), branch)


def fused(x: Tensor) -> bool:
    """Whether the fused kernel takes such a stream."""
    if on_gpu():
        return True
    if x.device.type == "meta" or x.shape[-1] > WIDEST or not x.numel():
        return False
    return triton_launch.problem(x.device, x.dtype) is None
