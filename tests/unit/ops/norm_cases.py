"""Cases of add_norm and gated_add, and float64 truth by plain PyTorch, for CPU and GPU tests."""

import torch

from zoo.ops import add_norm
from zoo.ops.add_norm import gated_add

CASES = [  # centred, branch, gate, weight and bias, shift and scale, one modulation for all samples
    (False, True, True, True, True, False),
    (True, True, True, True, True, False),
    (False, False, False, False, False, False),
    (False, True, False, True, False, False),
    (True, True, True, False, True, True),
    (True, False, False, True, True, False),
]


def case(batch, length, width, centred, branch, gate, affine, modulated, shared, dtype=torch.float32, device="cpu"):
    chance = torch.Generator(device).manual_seed(width)

    def new(*size):
        return torch.randn(*size, generator=chance, device=device).to(dtype).requires_grad_()

    row = (1 if shared else batch, 1, width)
    tensors = [new(batch, length, width), new(batch, length, width) if branch else None, new(*row) if gate else None]
    tensors += [new(width) if affine else None, new(width) if affine and centred else None]
    tensors += [new(*row) if modulated else None, new(*row) if modulated else None]
    return tensors, [new(batch, length, width).detach() for _ in range(2)]


def run(tensors, gradients, centred):
    """Outputs, then gradients of all inputs that are there."""
    outputs = add_norm(*tensors, 1e-5, centred)
    return [*outputs, *torch.autograd.grad(outputs, [t for t in tensors if t is not None], gradients)]


def truth(tensors, gradients, centred):
    """The definition, in float64."""
    x, branch, gate, weight, bias, shift, scale = leaves = [None if t is None else t.detach().double() for t in tensors]
    for leaf in leaves:
        if leaf is not None:
            leaf.requires_grad_()
    s = x if branch is None else x + (branch if gate is None else gate * branch)
    middle = s - s.mean(-1, keepdim=True) if centred else s
    n = middle / (middle.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    n = (n if weight is None else n * weight) + (0 if bias is None else bias)
    n = (n if scale is None else n * (1 + scale)) + (0 if shift is None else shift)
    wanted = [t for t in leaves if t is not None]
    return [s, n, *torch.autograd.grad((s, n), wanted, [g.double() for g in gradients])]


def assert_close(found, wanted, tolerance):
    for i, (f, w) in enumerate(zip(found, wanted, strict=True)):
        error = ((f.double() - w).norm() / w.norm()).item()
        assert error <= tolerance, f"result {i} is off by {error:.1e}"


def check(tolerance, sizes, dtype=torch.float32, device="cpu"):
    for kind in CASES:
        for size in sizes:
            tensors, gradients = case(*size, *kind, dtype=dtype, device=device)
            assert_close(run(tensors, gradients, kind[0]), truth(tensors, gradients, kind[0]), tolerance)


def check_gated_add(tolerance, sizes, dtype=torch.float32, device="cpu"):
    for size in sizes:
        (x, branch, gate, *_), (g, _) = case(*size, *CASES[0], dtype=dtype, device=device)
        leaves = [t.detach().double().requires_grad_() for t in (x, branch, gate)]
        found, wanted = gated_add(x, branch, gate), leaves[0] + leaves[2] * leaves[1]
        grads = torch.autograd.grad(found, (x, branch, gate), g), torch.autograd.grad(wanted, leaves, g.double())
        assert_close([found, *grads[0]], [wanted, *grads[1]], tolerance)

