"""Sum, norm and modulation as PyTorch custom operators over the Triton kernels; built as the scan's `operator.py`."""

# pyright: reportIndexIssue=false

from __future__ import annotations

import torch
from torch import Tensor

from zoo.ops import triton_launch
from zoo.ops.add_norm.vectors import Vectors, finish, power_of_two, step

ROWS = 16  # of one sample that a program of the backward kernel adds up; never by device, so sums do not change


@torch.library.custom_op("zoo::add_norm", mutates_args=())
def add_norm(
    x: Tensor, branch: Tensor | None, gate: Tensor | None, gate_table: Tensor | None, weight: Tensor | None,
    bias: Tensor | None, shift: Tensor | None, shift_table: Tensor | None, scale: Tensor | None,
    scale_table: Tensor | None, eps: float, centred: bool, dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """(s, n); without a branch s is x, which a custom operator may not return: an empty tensor instead."""
    from zoo.ops.add_norm.triton_kernels import forward_kernel

    v = Vectors(gate, gate_table, weight, bias, shift, shift_table, scale, scale_table)
    x = x.contiguous()
    branch = None if branch is None else branch.contiguous()
    s = x.new_empty(0) if branch is None else torch.empty_like(x)
    n = torch.empty(x.shape, dtype=dtype, device=x.device)
    batch, length, width = x.shape
    tensors = [x if t is None else t for t in (x, branch, *v)]
    with triton_launch.on(x.device):
        rows = _rows(batch * length)
        forward_kernel[(-(-length // rows), batch)](
            *tensors, s, n, step(gate), step(shift), step(scale), length, width, eps, CENTRED=centred,
            BLOCK=power_of_two(width), ROWS=rows, BRANCH=branch is not None, **v.switches,
            num_warps=_warps(width, rows),
        )  # fmt: skip
    return s, n


@add_norm.register_fake
def _(x, branch, *others):
    return x.new_empty((0,) if branch is None else x.shape), x.new_empty(x.shape, dtype=others[-1])


@torch.library.custom_op("zoo::add_norm_backward", mutates_args=())
def add_norm_backward(
    gs: Tensor | None, gn: Tensor, s: Tensor, branch: Tensor | None, gate: Tensor | None, gate_table: Tensor | None,
    weight: Tensor | None, bias: Tensor | None, shift: Tensor | None, shift_table: Tensor | None,
    scale: Tensor | None, scale_table: Tensor | None, eps: float, centred: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """(gx, g(branch) or empty, and those of the vectors as `Vectors.empty_gradients` lays them out)."""
    from zoo.ops.add_norm.triton_kernels import backward_kernel

    v = Vectors(gate, gate_table, weight, bias, shift, shift_table, scale, scale_table)
    s, gn = s.contiguous(), gn.contiguous()
    gs = None if gs is None else gs.contiguous()
    branch = None if branch is None else branch.contiguous()
    batch, length, width = s.shape
    gx = torch.empty_like(s)
    gbranch = s.new_empty(0) if branch is None else torch.empty_like(branch)
    sums = torch.empty(batch, -(-length // ROWS), v.count, width, device=s.device)
    tensors = [s if t is None else t for t in (gs, gn, s, branch, gate, gate_table, weight, scale, scale_table)]
    with triton_launch.on(s.device):
        backward_kernel[(sums.shape[1], batch)](
            *tensors, gx, gbranch, sums, step(gate), step(scale), length, width, eps, CENTRED=centred,
            BLOCK=power_of_two(width), ROWS=ROWS, GS=gs is not None, NORM_SUMS=v.normed, COUNT=v.count,
            BRANCH=branch is not None, **v.only("GATE", "WEIGHT", "SCALE"), num_warps=_backward_warps(width),
        )  # fmt: skip
    return gx, gbranch, *finish(sums, s, v)


@add_norm_backward.register_fake
def _(gs, gn, s, branch, *others):
    gbranch = s.new_empty(0) if branch is None else branch.new_empty(branch.shape)
    return s.new_empty(s.shape), gbranch, *Vectors(*others[:-2]).empty_gradients(s)


def _setup_context(ctx, inputs, output):
    x, branch, *vectors, ctx.eps, ctx.centred, _ = inputs
    ctx.save_for_backward(x if branch is None else output[0], branch, *vectors)
    ctx.set_materialize_grads(False)


def _backward(ctx, gs, gn):
    s, branch, *vectors = ctx.saved_tensors
    v = Vectors(*vectors)
    if gn is None:  # only the sum was used, so there is a branch
        return gs, *_of_branch(gs, branch, v.gate, v.gate_table), *[None] * 9
    gx, gbranch, *found = add_norm_backward(gs, gn, s, branch, *v, ctx.eps, ctx.centred)
    return gx, None if branch is None else gbranch, *v.gradients(*found), None, None, None


def _of_branch(g, branch, gate, table):
    """Gradients of branch, gate and table, where a gated branch was added and no more."""
    if gate is None:
        return g.to(branch.dtype), None, None
    gbranch, *found = gated_add_backward(g, branch, gate, table)
    return gbranch, *Vectors(gate, table).gradients(*found)[:2]


add_norm.register_autograd(_backward, setup_context=_setup_context)


@torch.library.custom_op("zoo::gated_add", mutates_args=())
def gated_add(x: Tensor, branch: Tensor, gate: Tensor, table: Tensor | None) -> Tensor:
    """x + gate * branch; PyTorch's own kernel for a gate that is broadcast takes twice as long."""
    from zoo.ops.add_norm.triton_kernels import gated_add_kernel

    s = torch.empty_like(x, memory_format=torch.contiguous_format)
    batch, length, width = x.shape
    with triton_launch.on(x.device):
        rows = _rows(batch * length)
        gated_add_kernel[(-(-length // rows), batch)](
            x.contiguous(), branch.contiguous(), gate, gate if table is None else table, s, step(gate), length, width,
            BLOCK=power_of_two(width), ROWS=rows, **Vectors(gate, table).only("GATE"), num_warps=_warps(width, rows),
        )  # fmt: skip
    return s


@gated_add.register_fake
def _(x, branch, gate, table):
    return x.new_empty(x.shape)


@torch.library.custom_op("zoo::gated_add_backward", mutates_args=())
def gated_add_backward(g: Tensor, branch: Tensor, gate: Tensor, table: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """(g(branch), and those of gate and table as `Vectors.empty_gradients` lays them out)."""
    from zoo.ops.add_norm.triton_kernels import gated_add_backward_kernel

    v = Vectors(gate, table)
    batch, length, width = g.shape
    gbranch = torch.empty_like(branch, memory_format=torch.contiguous_format)
    sums = torch.empty(batch, -(-length // ROWS), v.count, width, device=g.device)
    with triton_launch.on(g.device):
        gated_add_backward_kernel[(sums.shape[1], batch)](
            g.contiguous(), branch.contiguous(), gate, gate if table is None else table, gbranch, sums, step(gate),
            length, width, BLOCK=power_of_two(width), ROWS=ROWS, **v.only("GATE"), num_warps=_warps(width, 1),
        )  # fmt: skip
    return gbranch, *finish(sums, g, v)


@gated_add_backward.register_fake
def _(g, branch, gate, table):
    return branch.new_empty(branch.shape), *Vectors(gate, table).empty_gradients(g)


def _setup_gated_add(ctx, inputs, output):
    ctx.save_for_backward(*inputs[1:])


def _gated_add_backward(ctx, g):
    return g, *_of_branch(g, *ctx.saved_tensors)


gated_add.register_autograd(_gated_add_backward, setup_context=_setup_gated_add)


def _rows(rows: int) -> int:
    """Of a program without sums over rows: several where enough programs are left to fill a GPU."""
    return 4 if rows >= 4096 else 1


def _warps(width: int, rows: int) -> int:
    """Of a program with one row after another; measured on an H200, where sums within a warp need no barrier."""
    return 1 if width <= 512 else 8 if width > 2048 else 2 if rows == 1 else 4


def _backward_warps(width: int) -> int:
    """More hold the sums over rows in fewer registers each."""
    return 1 if width <= 512 else 8
