"""Every backend on the GPU against the naive loop in float64: outputs, all gradients, the same bits in a second run.

Inputs are exact in all three dtypes, so a length has one truth. Memory that a backend allocates is NaN beforehand.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from zoo import ops
from zoo.ops.causal_conv import naive as naive_conv
from zoo.ops.cuda import driver
from zoo.ops.selective_scan import naive as naive_scan

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from direction_cases import SCAN_SHARED, orders_of, run, several, true_convs, true_scans
from ops_cases import assert_close, conv_case, relative_rms, scan_case

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

BACKENDS = ["cuda", "triton"]
TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}
LENGTHS = [*range(1, 20), 31, 33, 64, 127, 257, 365, 366, 533, 1023, 1230, 2606, 4494, 6893, 9807, 17165, 17166]
SPOT = 36864


@pytest.fixture(autouse=True)
def _poison():
    """Whatever is allocated and not filled is NaN."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.use_deterministic_algorithms(True, warn_only=True)
        yield
        torch.use_deterministic_algorithms(False)


def exact(case: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the GPU, and representable in bfloat16 as well as float16."""
    return {name: torch.where(x.abs() < 2**-9, 0, x).bfloat16().double().cuda() for name, x in case.items()}


def cast(case: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Sequences in the dtype, parameters in float32, as a model holds them."""
    own = {"A": torch.float32, "D": torch.float32, "dt_bias": torch.float32}
    return {name: x.to(own.get(name, dtype)) for name, x in case.items()}


def strided(case: dict[str, Tensor], pad: int) -> dict[str, Tensor]:
    """The same values, sequences as slices of wider ones; `pad` 8 keeps rows aligned, 3 does not."""

    def wide(x: Tensor) -> Tensor:
        return torch.nn.functional.pad(x, (pad, pad, 1, 1), value=torch.nan)[..., 1:-1, pad:-pad]

    return {name: wide(x) if x.ndim >= 3 else x for name, x in case.items()}


@functools.cache
def truth(length: int) -> tuple[dict[str, Tensor], Tensor | None, dict[str, Tensor]]:
    """Inputs, order and the naive loop's results at a length; shapes and options go with the length."""
    batch, channels = (1, 24) if length > 2000 else (2, (33, 40, 72)[length % 3])
    case = exact(scan_case(batch, length, channels, (16, 5)[length % 5 == 1]))
    order = None if length % 2 == 0 else orders_of(length, 1)[0, 0].cuda()
    leaves = {name: x.requires_grad_() for name, x in case.items()}
    y = naive_scan.selective_scan(**leaves, order=order, softplus=True, zoh=length % 7 == 3)
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(99)).bfloat16().to(y)
    gradients = torch.autograd.grad(y, list(leaves.values()), gy)
    wanted = {"y": y.detach()} | {f"grad {name}": g for name, g in zip(leaves, gradients)}
    return {name: x.detach() for name, x in case.items()}, order, wanted


def check(found, again, wanted: dict[str, Tensor], tolerance: float) -> None:
    assert_close(found, wanted, tolerance)
    assert all(torch.equal(found[name], again[name]) for name in found)


@pytest.mark.parametrize("length", [*LENGTHS, SPOT])
def test_scan_at_any_length(length):
    case, order, wanted = truth(length)
    options = {"order": order, "discretization": "zoh" if length % 7 == 3 else "euler"}
    errors = {}
    for dtype, tolerance in TOLERANCE.items():
        given = cast(case, dtype)
        given = strided(given, (8, 3)[length % 2]) if length % 3 == 0 else given
        for backend in BACKENDS:
            found, again = (run(ops.selective_scan, given, backend=backend, **options) for _ in range(2))
            worst = {name: relative_rms(found[name], wanted[name]) for name in wanted}
            limit = tolerance * (2 if length > 5000 else 1)
            errors |= {(backend, dtype, k): v for k, v in worst.items() if not v < limit}
            errors |= {(backend, dtype, k): "another run" for k in found if not torch.equal(found[k], again[k])}
    assert not errors


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("width", range(2, 9))
def test_convolution_of_any_width(width, backend):
    for length, rows in ((1, 1), (width, 1), (37, 1), (366, 1), (120, 4), (4495, 1)):
        case = exact(conv_case(2, length, (33, 40, 136)[length % 3], width, bias=width != 5))
        order = None if length == 366 else orders_of(length, 1, rows)[0].cuda()
        for activation in ("silu", "none"):
            leaves = {name: x.requires_grad_() for name, x in case.items()}
            y = naive_conv.causal_conv(**leaves, order=order, silu=activation == "silu")
            wanted = _gradients(y, leaves)
            for dtype, tolerance in TOLERANCE.items():
                given = {name: x.detach().to(dtype) for name, x in case.items()}
                given = strided(given, (8, 3)[width % 2]) if length == 37 else given
                options = {"order": order, "activation": activation, "backend": backend}
                found, again = (run(ops.causal_conv, given, **options) for _ in range(2))
                check(found, again, wanted, tolerance)


def _gradients(y: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(99)).bfloat16().to(y)
    gradients = torch.autograd.grad(y, list(leaves.values()), gy)
    return {"y": y.detach()} | {f"grad {name}": g for name, g in zip(leaves, gradients)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shared", SCAN_SHARED)
def test_several_directions_in_one_call(shared, dtype, backend):
    for ways, batch, length, channels, state, rows in (
        (2, 2, 37, 72, 16, 1), (2, 3, 61, 33, 5, 1), (4, 2, 120, 40, 20, 3), (2, 1, 1230, 33, 16, 1), (2, 1, 1, 8, 1, 1)
    ):  # fmt: skip
        case = exact(several(scan_case, SCAN_SHARED[shared], ways, batch, length, channels, state))
        order = orders_of(length, ways, rows).cuda()
        given = cast(case, dtype)
        given = strided(given, 8) if length == 61 else given
        found, again = (run(ops.selective_scan, given, order=order, backend=backend) for _ in range(2))
        # each direction's result is rounded before they are added
        check(found, again, true_scans(case, order), 2 * TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_convolutions_of_several_directions_in_one_call(dtype, backend):
    for shared in ((), ("x",), ("weight", "bias")):
        for ways, length, rows, width in ((2, 37, 1, 4), (4, 120, 3, 2), (2, 1, 1, 7), (2, 1230, 1, 4)):
            case = exact(several(conv_case, shared, ways, 2, length, 72, width))
            order = orders_of(length, ways, rows).cuda()
            given = {name: x.to(dtype) for name, x in case.items()}
            found, again = (run(ops.causal_conv, given, order=order, backend=backend) for _ in range(2))
            check(found, again, true_convs(case, order), 2 * TOLERANCE[dtype])


def test_two_directions_are_one_launch(monkeypatch):
    launches, call = Counter(), driver.Kernel.__call__

    def counted(self, *arguments):
        launches[self._name] += 1
        return call(self, *arguments)

    scan, conv = several(scan_case, ("z",), 2, 2, 61, 40, 16), several(conv_case, ("x",), 2, 2, 61, 40)
    order = orders_of(61, 2).cuda()
    scan, conv = cast(exact(scan), torch.bfloat16), cast(exact(conv), torch.bfloat16)
    for _ in range(2):  # the first time the self-test launches too
        launches.clear()
        monkeypatch.setattr(driver.Kernel, "__call__", counted)
        run(ops.selective_scan, scan, order=order, backend="cuda")
        run(ops.causal_conv, conv, order=order, backend="cuda")
    kernels = ("scan_forward", "scan_backward", "conv_forward", "conv_backward")
    assert {k: launches[k] for k in kernels} == dict.fromkeys(kernels, 1)


def test_two_directions_in_a_cuda_graph_and_compiled_whole():
    case = cast(exact(several(scan_case, ("u", "z"), 2, 2, 61, 40, 16)), torch.bfloat16)
    order = orders_of(61, 2).cuda()
    torch.use_deterministic_algorithms(False)
    expected = ops.selective_scan(**case, order=order, backend="cuda")
    compiled = torch.compile(lambda **x: ops.selective_scan(**x, order=order, backend="cuda"), fullgraph=True)
    assert torch.equal(compiled(**case), expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = ops.selective_scan(**case, order=order, backend="cuda")
    graph.replay()
    assert torch.equal(y, expected)
