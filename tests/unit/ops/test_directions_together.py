"""One call in several directions is as many separate calls, on every backend, with all gradients."""

import pytest
import torch
from direction_cases import CONV_SHARED, SCAN_SHARED, orders_of, run, several, true_convs, true_scans
from ops_cases import assert_close, conv_case, scan_case
from torch.utils.flop_counter import FlopCounterMode

from zoo import ops
from zoo.errors import ShapeError
from zoo.grid import Grid
from zoo.ops import dispatch, jit
from zoo.parts.mixer.bimamba import Bimamba
from zoo.parts.protocols import Condition

BACKENDS = ["naive", pytest.param("cpu", marks=pytest.mark.skipif(jit.problem() is not None, reason="no numba"))]
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shared", SCAN_SHARED)
@pytest.mark.parametrize(("length", "rows", "ways"), [(1, 1, 2), (37, 1, 2), (33, 3, 4)])
def test_scans_are_separate_scans_added_up(length, rows, ways, shared, dtype, backend):
    case = several(scan_case, SCAN_SHARED[shared], ways, 2, length, 5, 3, dtype=dtype)
    order = orders_of(length, ways, rows)
    found = run(ops.selective_scan, case, order=order, backend=backend)
    assert_close(found, true_scans(case, order), TOLERANCE[dtype])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shared", CONV_SHARED)
@pytest.mark.parametrize(("length", "rows", "ways"), [(1, 1, 2), (37, 1, 2), (33, 3, 4)])
def test_convolutions_are_separate_convolutions(length, rows, ways, shared, dtype, backend):
    case = several(conv_case, CONV_SHARED[shared], ways, 2, length, 5, 4, dtype=dtype)
    order = orders_of(length, ways, rows)
    assert_close(run(ops.causal_conv, case, order=order, backend=backend), true_convs(case, order), TOLERANCE[dtype])


def test_zero_order_hold_and_a_single_direction():
    case = several(scan_case, SCAN_SHARED["step"], 1, 2, 9, 5, 3)
    order = orders_of(9, 1)
    found = run(ops.selective_scan, case, order=order, discretization="zoh")
    assert_close(found, true_scans(case, order, zoh=True), 1e-12)


@pytest.mark.parametrize("own", ["all", "step", "decay", "none"])
def test_a_bidirectional_mixer_calls_each_operator_once_and_compiles_whole(own):
    torch.manual_seed(0)
    mixer = Bimamba(16, 1, own=own)
    for parameter in mixer.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    n, grid = torch.randn(2, 15, 16), Grid(3, 5)
    calls = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            calls.append(str(func))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watch():
        expected = mixer(n, None, grid, Condition())
    assert [c for c in calls if c.startswith("zoo.")] == ["zoo.causal_conv.default", "zoo.selective_scan.default"]
    compiled = torch.compile(lambda n: mixer(n, None, grid, Condition()), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(n), expected)
    compiled(n).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mixer.parameters())


def test_custom_operators_hold_what_pytorch_asks_of_them():
    case, order = several(scan_case, ("z",), 2, 1, 5, 3, 2), orders_of(5, 2)
    leaves = [x.requires_grad_() for x in case.values()]
    torch.library.opcheck(torch.ops.zoo.selective_scan, (*leaves, order, True, False, True, "auto"))
    case = several(conv_case, ("x",), 2, 1, 5, 3)
    leaves = [x.requires_grad_() for x in case.values()]
    torch.library.opcheck(torch.ops.zoo.causal_conv, (*leaves, order, True, "auto"))


def test_every_direction_is_counted():
    scan, conv = scan_case(2, 9, 5, 3), conv_case(2, 9, 5)
    with FlopCounterMode(display=False) as counter:
        ops.selective_scan(**scan)
        ops.causal_conv(**conv)
    once = counter.get_total_flops()
    with counter:
        ops.selective_scan(**several(scan_case, ("z",), 3, 2, 9, 5, 3), order=orders_of(9, 3))
        ops.causal_conv(**several(conv_case, (), 3, 2, 9, 5), order=orders_of(9, 3))
    assert counter.get_total_flops() == 3 * once


def test_what_does_not_fit_is_refused():
    case = scan_case(2, 9, 5, 3)
    own = case | {"A": torch.stack([case["A"]] * 2)}
    for wrong, order in ((own, None), (own, orders_of(9, 3)), (case, orders_of(8, 2)), (case, orders_of(9, 2)[:0])):
        with pytest.raises(ShapeError, match=r"directions|order is"):
            ops.selective_scan(**wrong, order=order)
    conv = conv_case(2, 9, 5)
    with pytest.raises(ShapeError, match="weight"):
        ops.causal_conv(conv["x"], torch.stack([conv["weight"]] * 2), order=orders_of(9, 3))


def test_backends_without_a_launch_for_all_run_one_direction_after_the_other():
    for op, names in dispatch.BACKENDS.items():
        together = {name for name in names if hasattr(dispatch.load(op, name), "together")}
        assert together == {"cuda"}
