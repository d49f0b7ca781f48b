"""The Triton kernels on a CUDA device compute the naive loop's outputs and gradients."""

import sys
from pathlib import Path

import pytest
import torch

from zoo import ops

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from ops_cases import (
    assert_close,
    conv_case,
    random_order,
    run_conv,
    run_scan,
    scan_case,
    true_conv,
    true_scan,
)

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}  # float32: the GPU's approximate exp2


def to_cuda(case):
    return {name: x.cuda() for name, x in case.items()}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("discretization", ["euler", "zoh"])
@pytest.mark.parametrize("length", [1, 3, 63, 64, 65, 129, 361])
def test_scan_agrees_with_naive(length, discretization, dtype):
    channels, state = (1, 8, 60, 130)[length % 4], (1, 4, 16)[length % 3]
    case = to_cuda(scan_case(2, length, channels, state, dtype, seed=length))
    case["A"] = case["A"].float()
    order = random_order(length).cuda() if length % 2 else None
    options = {"order": order, "discretization": discretization}
    assert_close(run_scan(case, backend="triton", **options), true_scan(case, **options), TOLERANCE[dtype])


@pytest.mark.parametrize("state", [1, 2, 5, 16, 17, 32, 64])
def test_scan_at_any_state(state):
    case = to_cuda(scan_case(2, 70, 40, state, torch.float32))
    assert_close(run_scan(case, backend="triton"), true_scan(case), 5e-6)


@pytest.mark.parametrize("without", [("D",), ("z",), ("dt_bias",), ("D", "z", "dt_bias")], ids=str)
@pytest.mark.parametrize("rows", [1, 3, 30])
def test_scan_options_and_rows(without, rows):
    case = to_cuda(scan_case(3, 120, 40, 4, torch.float32, without=without))
    case["dt"] = case["dt"].abs()  # without softplus a negative step would grow without bound
    options = {"order": random_order(120, rows).cuda(), "dt_softplus": len(without) == 1}
    assert_close(run_scan(case, backend="triton", **options), true_scan(case, **options), 5e-6)


def test_scan_with_more_rows_than_programs():
    case = to_cuda(scan_case(40, 256, 40, 4, torch.float32))
    order = random_order(256, 64).cuda()
    assert_close(run_scan(case, order=order, backend="triton"), true_scan(case, order=order), 5e-6)


def test_strides_do_not_matter():
    case = to_cuda(scan_case(2, 33, 40, 4, torch.float32))
    wide = {k: torch.cat([x, x], 2)[..., : x.shape[2]] for k, x in case.items() if x.ndim == 3}
    assert_close(run_scan(case | wide, backend="triton"), run_scan(case, backend="triton"), 1e-7)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("width", [2, 3, 4, 8])
@pytest.mark.parametrize(("length", "rows"), [(1, 1), (33, 1), (120, 4), (361, 1), (128, 64)])
def test_conv_agrees_with_naive(length, rows, width, dtype):
    case = to_cuda(conv_case(3, length, (5, 130)[width % 2], width, dtype, bias=width > 2))
    order = None if length == 33 else random_order(length, rows).cuda()
    options = {"order": order, "activation": ("silu", "none")[width % 2]}
    assert_close(run_conv(case, backend="triton", **options), true_conv(case, **options), TOLERANCE[dtype])


def test_runs_are_equal_to_the_bit():
    scan, conv = to_cuda(scan_case(8, 361, 512, 16, torch.bfloat16)), to_cuda(conv_case(8, 361, 512, 4, torch.bfloat16))
    for run, case in ((run_scan, scan), (run_conv, conv)):
        first, second = run(case, backend="triton"), run(case, backend="triton")
        assert all(torch.equal(first[name], second[name]) for name in first)


def test_compiles_as_one_graph():
    case = to_cuda(scan_case(2, 65, 40, 16, torch.float32))
    order = random_order(65).cuda()

    def block(u, **rest):
        x = ops.causal_conv(u, rest["C"][0, :40, :4].contiguous(), order=order)
        return ops.selective_scan(x, order=order, **rest)

    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(**case), block(**case), rtol=0, atol=0)


def test_auto_never_falls_to_naive_on_cuda():
    assert all(row.backend != "naive" for row in ops.report("cuda") if row.status == "chosen")
