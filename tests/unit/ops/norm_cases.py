"""Cases of add_norm and gated_add, and float64 truth by plain PyTorch, for CPU and GPU tests."""

from typing import NamedTuple

import torch

from zoo.ops import add_norm
from zoo.ops.add_norm import RowSum, gated_add


class Kind(NamedTuple):
    """What a case has; of gate, shift and scale: "" nothing, "row" a tensor, "sum" a row and a table."""

    centred: bool = False
    branch: bool = True
    gate: str = ""
    weight: bool = False
    bias: bool = False
    shift: str = ""
    scale: str = ""
    shared: bool = False  # one modulation for all samples
    tables: torch.dtype | None = None  # None is the case's own


CASES = [
    Kind(gate="row", weight=True, shift="row", scale="row"),
    Kind(centred=True, gate="row", weight=True, bias=True, shift="row", scale="row"),
    Kind(branch=False),
    Kind(weight=True),
    Kind(centred=True, gate="row", shift="row", scale="row", shared=True),
    Kind(centred=True, branch=False, weight=True, bias=True, shift="row", scale="row"),
    Kind(gate="sum", weight=True, shift="sum", scale="sum"),
    Kind(centred=True, gate="sum", weight=True, bias=True, shift="sum", scale="sum", tables=torch.float32),
    Kind(centred=True, gate="sum", shift="sum", scale="sum", shared=True),
    Kind(gate="row", weight=True, shift="sum"),
    Kind(gate="sum", scale="sum"),
    Kind(branch=False, bias=True, scale="sum", shift="row", centred=True),
]
EVERY = [
    Kind(True, branch, gate, weight, bias, shift, scale)
    for branch, gate in ((False, ""), (True, ""), (True, "row"), (True, "sum"))
    for weight in (False, True)
    for bias in (False, True)
    for shift in ("", "row", "sum")
    for scale in ("", "row", "sum")
]
"""All combinations of a layer norm; an RMS norm has no bias."""


def case(batch, length, width, kind, dtype=torch.float32, device="cpu"):
    """(inputs of add_norm, gradients of its outputs); rows are slices of one tensor, so samples lie apart."""
    chance = torch.Generator(device).manual_seed(width)

    def new(*size, dtype=dtype):
        return torch.randn(*size, generator=chance, device=device).to(dtype)

    rows = new(1 if kind.shared else batch, 1, 3, width).unbind(2)

    def vector(given, i):
        row = rows[i].detach().requires_grad_() if given else None
        if given != "sum":
            return row
        return RowSum(row, new(width, dtype=torch.promote_types(dtype, kind.tables or dtype)).requires_grad_())

    x, branch = (new(batch, length, width).requires_grad_() if there else None for there in (True, kind.branch))
    affine = [new(width).requires_grad_() if there else None for there in (kind.weight, kind.bias)]
    tensors = [x, branch, vector(kind.gate, 0), *affine, vector(kind.shift, 1), vector(kind.scale, 2)]
    return tensors, [new(batch, length, width) for _ in range(2)]


def leaves(tensors):
    """The tensors that are there, one after another."""
    return [t for one in tensors for t in (one if isinstance(one, RowSum) else (one,)) if t is not None]


def run(tensors, gradients, centred):
    """Outputs, then gradients of all inputs that are there."""
    outputs = add_norm(*tensors, 1e-5, centred)
    return [*outputs, *torch.autograd.grad(outputs, leaves(tensors), gradients)]


def doubled(tensors):
    """(leaves in float64, the tensors made of them with every sum taken)."""
    copies = [t.detach().double().requires_grad_() for t in leaves(tensors)]
    left = iter(copies)
    made = [None if t is None else next(left) + next(left) if isinstance(t, RowSum) else next(left) for t in tensors]
    return copies, made


def truth(tensors, gradients, centred):
    """The definition, in float64."""
    wanted, (x, branch, gate, weight, bias, shift, scale) = doubled(tensors)
    s = x if branch is None else x + (branch if gate is None else gate * branch)
    middle = s - s.mean(-1, keepdim=True) if centred else s
    n = middle / (middle.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    n = (n if weight is None else n * weight) + (0 if bias is None else bias)
    n = (n if scale is None else n * (1 + scale)) + (0 if shift is None else shift)
    return [s, n, *torch.autograd.grad((s, n), wanted, [g.double() for g in gradients])]


def assert_close(found, wanted, tolerance, what=""):
    for i, (f, w) in enumerate(zip(found, wanted, strict=True)):
        error = ((f.double() - w).norm() / w.norm()).item()
        assert error <= tolerance, f"result {i} is off by {error:.1e} {what}"


def check(tolerance, sizes, dtype=torch.float32, device="cpu", kinds=CASES):
    for kind in kinds:
        for size in sizes:
            tensors, gradients = case(*size, kind, dtype=dtype, device=device)
            found = run(tensors, gradients, kind.centred)
            assert [f.dtype for f in found[2:]] == [t.dtype for t in leaves(tensors)]
            assert_close(found, truth(tensors, gradients, kind.centred), tolerance, (kind, size))


def check_gated_add(tolerance, sizes, dtype=torch.float32, device="cpu"):
    for gate in ("row", "sum"):
        for size in sizes:
            tensors, (g, _) = case(*size, Kind(gate=gate), dtype=dtype, device=device)
            truly, (x, branch, opened, *_) = doubled(tensors)
            found, wanted = gated_add(*tensors[:3]), x + opened * branch
            grads = torch.autograd.grad(found, leaves(tensors), g), torch.autograd.grad(wanted, truly, g.double())
            assert_close([found, *grads[0]], [wanted, *grads[1]], tolerance, (gate, size))
