"""The packages to compare with are handed their own layout, give our results back, and are never chosen by `auto`.

Neither package can be installed here, so their public functions are played by plain channel-first loops.
"""

import sys
import types

import pytest
import torch
from ops_cases import assert_close, conv_case, random_order, scan_case, true_conv, true_scan
from torch.nn import functional as F

from zoo import ops
from zoo.errors import BackendError
from zoo.ops import dispatch
from zoo.ops.causal_conv import causal_conv1d
from zoo.ops.causal_conv.inputs import Inputs as ConvInputs
from zoo.ops.selective_scan import mamba_ssm
from zoo.ops.selective_scan.inputs import Inputs as ScanInputs


def scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """u (batch, dim, length), B and C (batch, 1, state, length), as the package documents it."""
    assert u.ndim == 3 and B.shape == (u.shape[0], 1, A.shape[1], u.shape[2]) and A.dtype == torch.float32
    delta = F.softplus(delta + delta_bias[:, None]) if delta_softplus else delta + delta_bias[:, None]
    h, outputs = 0, []
    for t in range(u.shape[2]):
        h = torch.exp(delta[:, :, t, None] * A) * h + (delta * u)[:, :, t, None] * B[:, :, :, t]
        outputs.append((h * C[:, :, :, t]).sum(-1))
    y = torch.stack(outputs, 2) + D[:, None] * u
    return y * F.silu(z)


def conv_fn(x, weight, bias=None, activation=None):
    assert activation in (None, "silu")
    y = F.conv1d(x, weight.unsqueeze(1), bias, padding=weight.shape[1] - 1, groups=x.shape[1])[..., : x.shape[2]]
    return F.silu(y) if activation else y


@pytest.fixture
def packages(monkeypatch):
    interface = types.SimpleNamespace(selective_scan_fn=scan_fn)
    monkeypatch.setitem(sys.modules, "mamba_ssm", types.ModuleType("mamba_ssm"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", types.ModuleType("mamba_ssm.ops"))
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", interface)
    monkeypatch.setitem(sys.modules, "causal_conv1d", types.SimpleNamespace(causal_conv1d_fn=conv_fn))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_the_scan_of_mamba_ssm_is_ours(packages, rows):
    case = scan_case(2, 12, 5, 3, torch.float32)
    order = random_order(12, rows) if rows else None
    x = ScanInputs(**case, order=order, softplus=True, zoh=False)
    y, states = mamba_ssm.forward(x, True)
    assert states.shape == mamba_ssm.states_shape(x)
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(99)).bfloat16().to(y)
    found = {"y": y} | {f"grad {n}": g for n, g in zip(case, mamba_ssm.backward(x, states, gy))}
    assert_close(found, true_scan(case, order=order), 2e-6)


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("silu", [True, False])
def test_the_convolution_of_causal_conv1d_is_ours(packages, rows, silu):
    case = conv_case(2, 12, 16, 4, torch.float32)
    order = random_order(12, rows) if rows else None
    x = ConvInputs(**case, order=order, silu=silu)
    y = causal_conv1d.forward(x)
    gy = torch.randn(y.shape, generator=torch.Generator().manual_seed(99)).bfloat16().to(y)
    found = {"y": y} | {f"grad {n}": g for n, g in zip(case, causal_conv1d.backward(x, gy))}
    assert_close(found, true_conv(case, order=order, activation="silu" if silu else "none"), 2e-6)


def test_zero_order_hold_is_refused(packages):
    with pytest.raises(BackendError, match="only the euler step"):
        mamba_ssm.forward(ScanInputs(**scan_case(), order=None, softplus=True, zoh=True), False)


def test_they_say_why_they_cannot():
    with pytest.raises(BackendError, match="'mamba_ssm' cannot run here: tensors are on cpu"):
        ops.selective_scan(**scan_case(), backend="mamba_ssm")
    cuda = torch.device("cuda")
    reasons = {
        "float64 is not among": mamba_ssm.supports(dispatch.Problem(cuda, torch.float64, 16)),
        "state 300 is above 256": mamba_ssm.supports(dispatch.Problem(cuda, torch.bfloat16, 300)),
        "width 7 is not among 2, 3, 4": causal_conv1d.supports(dispatch.Problem(cuda, torch.bfloat16, 7)),
    }
    assert all(words in str(reason) for words, reason in reasons.items()), reasons


def test_an_absent_package_is_named(monkeypatch):
    for module, name in ((mamba_ssm, "mamba_ssm"), (causal_conv1d, "causal_conv1d")):
        for loaded in [m for m in sys.modules if m.split(".")[0] == name]:
            monkeypatch.delitem(sys.modules, loaded)
        monkeypatch.setattr(sys, "meta_path", [Absent(name), *sys.meta_path])
        module._import_problem.cache_clear()
        reason = module.supports(dispatch.Problem(torch.device("cuda"), torch.bfloat16, 4))
        assert reason == f"{name.replace('_', '-')} is not installed"
        module._import_problem.cache_clear()


class Absent:
    """An import system in which one package does not exist."""

    def __init__(self, name):
        self.name = name

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == self.name:
            raise ModuleNotFoundError(f"No module named {name!r}", name=self.name)


def test_auto_never_takes_a_peer(monkeypatch):
    for op, names in dispatch.PEERS.items():
        assert not set(names) & set(dispatch.BACKENDS[op]) and dispatch.names(op)[-len(names) :] == names
        for name in dispatch.BACKENDS[op][:-1]:
            monkeypatch.setattr(dispatch.load(op, name), "supports", lambda problem: "not today")
        for name in names:
            monkeypatch.setattr(dispatch.load(op, name), "supports", lambda problem: None)
        with pytest.warns(RuntimeWarning, match="slow reference loop"):
            dispatch._warn_slow.cache_clear()
            assert dispatch.choose(op, dispatch.Problem(torch.device("cpu"), torch.float32, 4)).name == "naive"
    assert {r.status for r in ops.report("cpu") if r.backend in ("mamba_ssm", "causal_conv1d")} == {"available"}
