"""Every backend of the selective scan computes the naive loop's outputs and gradients."""

import pytest
import torch
from ops_cases import assert_close, random_order, run_scan, scan_case, true_scan

from zoo import ops
from zoo.ops.selective_scan import naive

LENGTHS = (1, 2, 3, 7, 63, 64, 65, 129, 361)
TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("discretization", ["euler", "zoh"])
@pytest.mark.parametrize("length", LENGTHS)
def test_cpu_agrees_with_naive(length, discretization, dtype):
    i = LENGTHS.index(length)
    channels, state = (1, 8, 60)[i % 3], (1, 4, 16)[(i // 3 + i) % 3]
    case = scan_case(2, length, channels, state, dtype, seed=i)
    order = random_order(length) if i % 2 else None
    options = {"order": order, "discretization": discretization}
    assert_close(run_scan(case, backend="cpu", **options), true_scan(case, **options), TOLERANCE[dtype])


@pytest.mark.parametrize("channels", [1, 8, 60, 64, 65, 130])
@pytest.mark.parametrize("state", [1, 4, 16])
def test_cpu_agrees_with_naive_at_any_width(channels, state):
    case = scan_case(2, 35, channels, state, torch.float32)
    assert_close(run_scan(case, backend="cpu"), true_scan(case), 2e-6)


@pytest.mark.parametrize("backend", ["cpu", "naive"])
@pytest.mark.parametrize("without", [(), ("D",), ("z",), ("dt_bias",), ("D", "z", "dt_bias")], ids=str)
@pytest.mark.parametrize("softplus", [True, False])
def test_optional_inputs(backend, without, softplus):
    case = scan_case(without=without)
    if not softplus:
        case["dt"] = case["dt"].abs()
    assert_close(run_scan(case, dt_softplus=softplus, backend=backend), true_scan(case, dt_softplus=softplus), 1e-12)


@pytest.mark.parametrize("backend", ["cpu", "naive"])
@pytest.mark.parametrize("rows", [2, 4, 40, 120])
@pytest.mark.parametrize("discretization", ["euler", "zoh"])
def test_orders_of_several_rows(backend, rows, discretization):
    case = scan_case(2, 120, 8, 4)
    options = {"order": random_order(120, rows), "discretization": discretization}
    assert_close(run_scan(case, backend=backend, **options), true_scan(case, **options), 1e-12)


@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("backend", ["cpu", "naive"])
def test_order_is_gather_run_rows_scatter(backend, rows):
    case = scan_case(2, 20, 8, 4)
    order = random_order(20, rows).long()
    sequences = {k: x[:, order.flatten()].reshape(2 * rows, 20 // rows, -1) for k, x in case.items() if x.ndim == 3}
    taken = ops.selective_scan(**(case | sequences), backend=backend).reshape(2, 20, 8)
    put = torch.empty_like(taken)
    put[:, order.flatten()] = taken
    torch.testing.assert_close(ops.selective_scan(**case, order=order, backend=backend), put, rtol=0, atol=1e-14)


@pytest.mark.parametrize("backend", ["cpu", "naive"])
def test_strides_do_not_matter(backend):
    case = scan_case(2, 33, 8, 4)
    plain = run_scan(case, backend=backend)
    wide = {k: torch.cat([x, x], 2)[..., : x.shape[2]] for k, x in case.items() if x.ndim == 3}  # as after a split
    turned = {k: x.transpose(1, 2).contiguous().transpose(1, 2) for k, x in case.items() if x.ndim == 3}
    late = {"A": case["A"].t().contiguous().t(), "D": torch.stack([case["D"]] * 2, 1)[:, 0]}
    for changed in (wide, turned, late):
        assert_close(run_scan(case | changed, backend=backend), plain, 1e-14)


def test_one_sample_may_be_broadcast():
    case = scan_case(1, 33, 8, 4)
    expanded = {k: x.expand(3, -1, -1) if x.ndim == 3 else x for k, x in case.items()}
    y = ops.selective_scan(**expanded)
    torch.testing.assert_close(y[2:], ops.selective_scan(**case), rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["cpu", "naive"])
@pytest.mark.parametrize("discretization", ["euler", "zoh"])
@pytest.mark.parametrize("rows", [1, 2])
def test_gradcheck(backend, discretization, rows):
    case = {name: x.requires_grad_() for name, x in scan_case(1, 6, 3, 2).items()}
    options = {"order": random_order(6, rows), "discretization": discretization, "backend": backend}
    assert torch.autograd.gradcheck(lambda *x: ops.selective_scan(*x, **options), tuple(case.values()))


def test_gradcheck_of_the_naive_loop():
    case = tuple(x.requires_grad_() for x in scan_case(1, 4, 2, 2).values())
    for zoh in (False, True):
        assert torch.autograd.gradcheck(lambda *x, zoh=zoh: naive.selective_scan(*x, zoh=zoh), case)


@pytest.mark.parametrize("backend", ["cpu", "naive"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_in_and_out_float32_inside(backend, dtype):
    case = scan_case(2, 65, 8, 4, dtype)
    case |= {name: case[name].float() for name in ("A", "D", "dt_bias")}  # parameters stay float32 under autocast
    got = run_scan(case, backend=backend)
    assert got["y"].dtype == got["grad B"].dtype == dtype and got["grad A"].dtype == torch.float32
    assert_close(got, true_scan(case), 5e-3)  # rounding of the results only


@pytest.mark.parametrize("backend", ["cpu", "naive"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zoh_of_no_decay_is_euler(backend, dtype):
    case = scan_case(1, 12, 8, 4, dtype)
    for A in (torch.zeros_like(case["A"]), torch.full_like(case["A"], -1e-12)):
        zoh, euler = (
            ops.selective_scan(**(case | {"A": A}), discretization=d, backend=backend) for d in ("zoh", "euler")
        )
        torch.testing.assert_close(zoh, euler, rtol=1e-6, atol=1e-6)
        assert all(
            g.isfinite().all() for g in run_scan(case | {"A": A}, discretization="zoh", backend=backend).values()
        )


@pytest.mark.parametrize("discretization", ["euler", "zoh"])
def test_decay_beyond_float_range_stays_finite(discretization):
    case = scan_case(1, 40, 8, 4, torch.float32)
    case |= {"A": case["A"] * 1e4, "dt_bias": case["dt_bias"] + 50}
    got = run_scan(case, discretization=discretization)
    assert_close(got, true_scan(case, discretization=discretization), 1e-5)


@pytest.mark.parametrize("name", ["u", "dt", "A", "B", "C", "z"])
def test_nan_comes_out_again(name):
    case = scan_case(2, 12, 8, 4, torch.float32)
    case[name].view(-1)[0] = float("nan")
    assert ops.selective_scan(**case).isnan().any()
