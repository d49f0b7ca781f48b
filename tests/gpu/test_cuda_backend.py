"""The CUDA C++ scan computes the naive loop's outputs and gradients, the same bits in every run."""

import sys
from pathlib import Path

import pytest
import torch

from zoo import ops
from zoo.ops.selective_scan import cuda_plan as plan

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "ops"))
from ops_cases import assert_close, random_order, run_scan, scan_case, true_scan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

TOLERANCE = {torch.float32: 5e-6, torch.bfloat16: 5e-3, torch.float16: 1e-3}


@pytest.fixture(autouse=True)
def _poison():
    """Whatever is allocated and not filled is NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def case_of(*shape, dtype=torch.float32, without=()):
    case = {name: x.cuda() for name, x in scan_case(*shape, dtype, seed=shape[1], without=without).items()}
    return case | {"A": case["A"].float()}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("discretization", ["euler", "zoh"])
@pytest.mark.parametrize(("batch", "length", "channels", "state"), [
    (1, 1, 1, 1), (2, 77, 384, 16), (2, 405, 60, 8), (3, 129, 33, 16), (1, 1230, 130, 16), (128, 73, 160, 16),
])  # fmt: skip
def test_agrees_with_naive(batch, length, channels, state, discretization, dtype):
    case = case_of(batch, length, channels, state, dtype=dtype)
    order = random_order(length).cuda() if length % 2 else None
    options = {"order": order, "discretization": discretization}
    assert_close(run_scan(case, backend="cuda", **options), true_scan(case, **options), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", plan.SHAPES.values(), ids=str)
def test_every_shape_of_the_forward_kernel(shape, dtype, monkeypatch):
    case, order = case_of(3, 73, 160, 16, dtype=dtype), random_order(73).cuda()
    run_scan(case, backend="cuda", order=order)  # the self-test sees shapes as they are chosen
    monkeypatch.setattr(plan, "forward_shape", lambda c: shape.over(c.steps))
    assert_close(run_scan(case, backend="cuda", order=order), true_scan(case, order=order), TOLERANCE[dtype])


@pytest.mark.parametrize("state", [1, 5, 16, 17, 32, 33, 64])
def test_at_any_state(state):
    case = case_of(2, 70, 40, state)
    assert_close(run_scan(case, backend="cuda"), true_scan(case), 5e-6)


@pytest.mark.parametrize("without", [("D",), ("z",), ("dt_bias",), ("D", "z", "dt_bias")], ids=str)
@pytest.mark.parametrize("rows", [1, 3, 30])
def test_options_and_rows(without, rows):
    case = case_of(3, 120, 40, 4, without=without)
    case["dt"] = case["dt"].abs()  # without softplus a negative step would grow without bound
    options = {"order": random_order(120, rows).cuda(), "dt_softplus": len(without) == 1}
    assert_close(run_scan(case, backend="cuda", **options), true_scan(case, **options), 5e-6)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("pad", [3, 8])
def test_slices(pad, dtype):
    case = case_of(2, 33, 40, 8, dtype=dtype)
    wide = {
        name: torch.nn.functional.pad(x, (pad, pad, 1, 1))[:, 1:-1, pad:-pad] for name, x in case.items() if x.ndim == 3
    }
    assert_close(run_scan(case | wide, backend="cuda"), true_scan(case), TOLERANCE[dtype])


@pytest.mark.parametrize("shape", [(8, 361, 512, 16), (1, 5000, 48, 16)])
def test_runs_are_equal_to_the_bit(shape):
    case = case_of(*shape, dtype=torch.bfloat16)
    first, second = run_scan(case, backend="cuda"), run_scan(case, backend="cuda")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_compiles_as_one_graph():
    case = case_of(2, 65, 40, 16)
    compiled = torch.compile(lambda **x: ops.selective_scan(**x, backend="cuda") * 2, fullgraph=True)
    assert_close({"y": compiled(**case)}, {"y": ops.selective_scan(**case, backend="naive") * 2}, 5e-6)
