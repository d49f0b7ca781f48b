"""Backends are chosen by rule, refused with a reason, and never slow in silence; wrong inputs are named."""

import warnings

import pytest
import torch
from ops_cases import conv_case, random_order, scan_case

from zoo import ops
from zoo.errors import BackendError, ShapeError
from zoo.ops import dispatch, jit
from zoo.ops.dispatch import Problem, choose

CPU = Problem(torch.device("cpu"), torch.float32, 16)


def test_cpu_is_chosen_on_the_cpu_and_triton_on_cuda():
    assert choose("selective_scan", CPU).name == "cpu"
    cuda = Problem(torch.device("cuda"), torch.bfloat16, 16)
    names = dispatch.BACKENDS["selective_scan"]
    assert names[-1] == "naive" and choose("selective_scan", cuda, "triton").name == "triton"


def test_a_backend_asked_for_runs_or_says_why():
    with pytest.raises(BackendError, match="'triton' cannot run here: tensors are on cpu"):
        ops.selective_scan(**scan_case(), backend="triton")
    with pytest.raises(BackendError, match=r"no backend 'nave'; did you mean 'naive'"):
        ops.causal_conv(**conv_case(), backend="nave")


def test_the_environment_replaces_auto(monkeypatch):
    monkeypatch.setenv("ZOO_SELECTIVE_SCAN_BACKEND", "naive")
    assert choose("selective_scan", CPU).name == "naive"
    assert choose("selective_scan", CPU, "cpu").name == "cpu"
    assert {r.backend: r.status for r in ops.report("cpu") if r.op == "selective_scan"}["naive"] == "chosen"


def test_falling_to_naive_warns_once(monkeypatch):
    monkeypatch.setattr(jit, "problem", lambda: "numba cannot be imported")
    dispatch._warn_slow.cache_clear()
    with pytest.warns(RuntimeWarning, match="slow reference loop on cpu .*numba cannot be imported"):
        ops.causal_conv(**conv_case())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ops.causal_conv(**conv_case())


def test_report_has_one_chosen_backend_an_operator_and_a_reason_for_the_rest():
    rows = ops.report("cpu")
    assert [r.op for r in rows if r.status == "chosen"] == list(dispatch.BACKENDS)
    assert all(r.reason for r in rows if r.status == "unavailable")
    assert {"chosen", "available", "unavailable"} >= {r.status for r in rows}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dt": torch.zeros(2, 8, 5)}, r"dt is \(2, 8, 5\)"),
        ({"B": torch.zeros(2, 9, 4)}, r"B is \(2, 9, 4\) beside u \(2, 9, 5\) and A \(5, 3\); allowed: \(2, 9, 3\)"),
        ({"A": torch.zeros(3, 3)}, r"A is \(3, 3\)"),
        ({"D": torch.zeros(1)}, "D is"),
        ({"z": torch.zeros(2, 9, 5, dtype=torch.int64)}, "z is torch.int64"),
        ({"u": torch.zeros(9, 5)}, "batch, length, channels"),
        ({"order": torch.arange(8)}, "order is torch.int64"),
        ({"order": torch.arange(9.0)}, "int32 or int64"),
        ({"order": torch.arange(9, device="meta")}, "order is on meta"),
        ({"discretization": "zho"}, "did you mean 'zoh'"),
    ],
)
def test_scan_inputs_that_do_not_fit(change, message):
    with pytest.raises(ShapeError, match=message):
        ops.selective_scan(**(scan_case() | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(5, 9)}, r"weight is \(5, 9\) beside x \(2, 9, 5\); allowed: \(5, 2 to 8\)"),
        ({"bias": torch.zeros(4)}, "bias is"),
        ({"x": torch.zeros(2, 0, 5)}, "length at least 1"),
        ({"order": random_order(8)}, "sequence of 9 positions"),
        ({"activation": "relu"}, "allowed: silu, none"),
    ],
)
def test_conv_inputs_that_do_not_fit(change, message):
    with pytest.raises(ShapeError, match=message):
        ops.causal_conv(**(conv_case() | change))
