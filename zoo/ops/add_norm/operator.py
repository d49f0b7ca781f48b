"""Sum, norm and modulation as PyTorch custom operators over the Triton kernels; built as the scan's `operator.py`."""

# pyright: reportIndexIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops import triton_launch

ROWS = 16  # of one sample that a program of the backward kernel adds up; never by device, so sums do not change


@torch.library.custom_op("zoo::add_norm", mutates_args=())
def add_norm(
    x: Tensor, branch: Tensor | None, gate: Tensor | None, weight: Tensor | None, bias: Tensor | None,
    shift: Tensor | None, scale: Tensor | None, eps: float, centred: bool, dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(s, n); without a branch s is x, which a custom operator may not return: an empty tensor instead."""
    from zoo.ops.add_norm.triton_kernels import forward_kernel

    x = x.contiguous()
    branch = None if branch is None else branch.contiguous()
    s = x.new_empty(0) if branch is None else torch.empty_like(x)
    n = torch.empty(x.shape, dtype=dtype, device=x.device)
    batch, length, width = x.shape
    modulation = [_by_sample(t) for t in (gate, shift, scale)]
    tensors = [x if t is None else t for t in (x, branch, gate, weight, bias, shift, scale)]
    with triton_launch.on(x.device):
        forward_kernel[(batch * length,)](
            *tensors, s, n, *modulation, length, width, eps, CENTRED=centred, BLOCK=_block(width),
            **_given(branch, gate, weight, bias, shift, scale), num_warps=_warps(width),
        )  # fmt: skip
    return s, n


@add_norm.register_fake
def _(x, branch, gate, weight, bias, shift, scale, eps, centred, dtype):
    return x.new_empty((0,) if branch is None else x.shape), x.new_empty(x.shape, dtype=dtype)


@torch.library.custom_op("zoo::add_norm_backward", mutates_args=())
def add_norm_backward(
    gs: Tensor | None, gn: Tensor, s: Tensor, branch: Tensor | None, gate: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, scale: Tensor | None, shifted: bool, eps: float, centred: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """(gx, g(branch) or empty, g(gate) before its sum over parts, sums over rows of g * norm and of g).

    The last two are (batch, parts, width) and (batch, parts, 2, width), float32; an empty tensor if not needed.
    """
    from zoo.ops.add_norm.triton_kernels import backward_kernel

    s, gn = s.contiguous(), gn.contiguous()
    gs = None if gs is None else gs.contiguous()
    branch = None if branch is None else branch.contiguous()
    batch, length, width = s.shape
    parts = -(-length // ROWS)
    gx = torch.empty_like(s)
    gbranch = s.new_empty(0) if branch is None else torch.empty_like(branch)
    ggate = s.new_empty(0) if gate is None else torch.empty(batch, parts, width, device=s.device)
    summed = shifted or any(t is not None for t in (weight, bias, scale))
    sums = torch.empty(batch, parts, 2, width, device=s.device) if summed else s.new_empty(0)
    modulation = [_by_sample(t) for t in (gate, scale)]
    tensors = [s if t is None else t for t in (gs, gn, s, branch, gate, weight, scale)]
    with triton_launch.on(s.device):
        backward_kernel[(parts, batch)](
            *tensors, gx, gbranch, ggate, sums, *modulation, length, width, eps, CENTRED=centred,
            BLOCK=_block(width), ROWS=ROWS, GS=gs is not None, SUMS=summed,
            **_given(branch, gate, weight, scale=scale), num_warps=_backward_warps(width),
        )  # fmt: skip
    return gx, gbranch, ggate, sums


@add_norm_backward.register_fake
def _(gs, gn, s, branch, gate, weight, bias, scale, shifted, eps, centred):
    batch, length, width = s.shape
    parts = -(-length // ROWS)
    gbranch = s.new_empty(0) if branch is None else branch.new_empty(branch.shape)
    ggate = s.new_empty(0) if gate is None else s.new_empty(batch, parts, width, dtype=torch.float32)
    summed = shifted or any(t is not None for t in (weight, bias, scale))
    sums = s.new_empty(batch, parts, 2, width, dtype=torch.float32) if summed else s.new_empty(0)
    return s.new_empty(s.shape), gbranch, ggate, sums


def _setup_context(ctx, inputs, output):
    x, branch, *others, ctx.eps, ctx.centred, _ = inputs
    ctx.save_for_backward(x if branch is None else output[0], branch, *others)
    ctx.set_materialize_grads(False)


def _backward(ctx, gs, gn):
    s, branch, gate, weight, bias, shift, scale = ctx.saved_tensors
    if gn is None:  # only the sum was used, so there is a branch
        if gate is None:
            return gs, gs.to(branch.dtype), *[None] * 8
        gbranch, ggate = gated_add_backward(gs, branch, gate)
        return gs, gbranch, _like(gate, ggate.sum(1, keepdim=True)), *[None] * 7
    arguments = (gs, gn, s, branch, gate, weight, bias, scale, shift is not None, ctx.eps, ctx.centred)
    gx, gbranch, ggate, sums = add_norm_backward(*arguments)
    gweight = gbias = gshift = gscale = None
    if sums.numel():
        by_sample = sums.sum(1)
        slope, level = by_sample[:, :1], by_sample[:, 1:]  # (batch, 1, width): of g * norm before the weight, of g
        factor = 1.0 if scale is None else 1 + scale.float()
        gweight = None if weight is None else (slope * factor).sum((0, 1)).to(weight.dtype)
        gbias = None if bias is None else (level * factor).sum((0, 1)).to(bias.dtype)
        gshift = None if shift is None else _like(shift, level)
        if scale is not None:
            slope = slope if weight is None else slope * weight
            gscale = _like(scale, slope if bias is None else slope + level * bias)
    gbranch = None if branch is None else gbranch
    ggate = None if gate is None else _like(gate, ggate.sum(1, keepdim=True))
    return gx, gbranch, ggate, gweight, gbias, gshift, gscale, None, None, None


def _like(x: Tensor, gradient: Tensor) -> Tensor:
    """A gradient (batch, 1, width) in the shape, which may be one for all samples, and dtype of x."""
    gradient = gradient if x.shape[0] == gradient.shape[0] else gradient.sum(0, keepdim=True)
    return gradient.to(x.dtype)


add_norm.register_autograd(_backward, setup_context=_setup_context)


@torch.library.custom_op("zoo::gated_add", mutates_args=())
def gated_add(x: Tensor, branch: Tensor, gate: Tensor) -> Tensor:
    """x + gate * branch; PyTorch's own kernel for a gate that is broadcast takes twice as long."""
    from zoo.ops.add_norm.triton_kernels import gated_add_kernel

    s = torch.empty_like(x, memory_format=torch.contiguous_format)
    batch, length, width = x.shape
    with triton_launch.on(x.device):
        gated_add_kernel[(batch * length,)](
            x.contiguous(), branch.contiguous(), gate, s, _by_sample(gate), length, width, BLOCK=_block(width),
            num_warps=_warps(width),
        )  # fmt: skip
    return s


@gated_add.register_fake
def _(x, branch, gate):
    return x.new_empty(x.shape)


@torch.library.custom_op("zoo::gated_add_backward", mutates_args=())
def gated_add_backward(g: Tensor, branch: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
    """(g(branch), g(gate) before its sum over parts: (batch, parts, width), float32)."""
    from zoo.ops.add_norm.triton_kernels import gated_add_backward_kernel

    batch, length, width = g.shape
    parts = -(-length // ROWS)
    gbranch = torch.empty_like(branch, memory_format=torch.contiguous_format)
    ggate = torch.empty(batch, parts, width, device=g.device)
    with triton_launch.on(g.device):
        gated_add_backward_kernel[(parts, batch)](
            g.contiguous(), branch.contiguous(), gate, gbranch, ggate, _by_sample(gate), length, width,
            BLOCK=_block(width), ROWS=ROWS, num_warps=_warps(width),
        )  # fmt: skip
    return gbranch, ggate


@gated_add_backward.register_fake
def _(g, branch, gate):
    parts = -(-g.shape[1] // ROWS)
    return branch.new_empty(branch.shape), g.new_empty(g.shape[0], parts, g.shape[2], dtype=torch.float32)


def _setup_gated_add(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:])


def _gated_add_backward(ctx, g):
    branch, gate = ctx.saved_tensors
    gbranch, ggate = gated_add_backward(g, branch, gate)
    return g, gbranch, _like(gate, ggate.sum(1, keepdim=True))


gated_add.register_autograd(_gated_add_backward, setup_context=_setup_gated_add)


def _by_sample(x: Tensor | None) -> int:
    """Elements from one sample's modulation to the next one's; 0 if all share one."""
    return 0 if x is None or x.shape[0] == 1 else x.stride(0)


def _given(branch=None, gate=None, weight=None, bias=None, shift=None, scale=None) -> dict[str, bool]:
    """Compile-time switches for what is there."""
    given = {"BRANCH": branch, "GATE": gate, "WEIGHT": weight, "BIAS": bias, "SHIFT": shift, "SCALE": scale}
    return {name: tensor is not None for name, tensor in given.items()}


def _block(width: int) -> int:
    return 1 << (width - 1).bit_length()


def _warps(width: int) -> int:
    """Of a program with one row after another; measured on an H200, where sums within a warp need no barrier."""
    return 1 if width <= 512 else 2 if width <= 2048 else 8


def _backward_warps(width: int) -> int:
    """More hold the sums over rows in fewer registers each."""
    return 1 if width <= 512 else 8
