"""Published outputs and gradients of DiM, DiS and ZigMa come out of the fast kernels on the GPU."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "parity"))
import ssm_fixtures as ssm
import test_dim as dim

from zoo.interop import load_official
from zoo.ops.causal_conv import cuda as conv
from zoo.ops.dispatch import Problem
from zoo.ops.precision import computing
from zoo.ops.selective_scan import cuda as scan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """How often the CUDA kernels ran; matrix products in float32, as when the fixtures were made."""
    calls, device = Counter(), torch.device("cuda")  # self-tests run here, uncounted
    reasons = [m.supports(Problem(device, torch.float32, n)) for m, n in ((scan, 16), (conv, 4))]
    assert reasons == [None, None]
    for op, module, name in (("selective_scan", scan, "forward"), ("selective_scan", scan, "backward"),
                             ("selective_scan", scan, "backward_in_place"), ("conv", conv, "forward"),
                             ("conv", conv, "backward")):  # fmt: skip
        monkeypatch.setattr(module, name, counted(calls, (op, name.removesuffix("_in_place")), getattr(module, name)))
    with computing(device, "fp32"):
        yield calls


def counted(calls, key, function):
    def run(*args, **kwargs):
        calls[key] += 1
        return function(*args, **kwargs)

    return run


def on_gpu(tensors):
    return {name: x.cuda() for name, x in tensors.items()}


@pytest.mark.parametrize("name", dim.NAMES_OF_FIXTURES)
def test_dim_with_gradients(name, fast):
    def run(device: str):
        backbone, _, tensors, _, y = dim.load(name)
        t = {key: x.to(device) for key, x in tensors.items()}
        out = backbone.to(device)(t["input.x"], t["input.t"], None if y is None else y.to(device))
        torch.testing.assert_close(out.detach(), t["output"], atol=2e-5, rtol=0)
        (out - t["input.target"]).square().mean().backward()
        return {key: p.grad.cpu().double() for key, p in backbone.named_parameters() if p.grad is not None}

    ours = run("cuda")
    assert len(fast) == 4 and min(fast.values()) > 0
    theirs = run("cpu")  # which test_dim.py holds against the published gradients
    assert ours.keys() == theirs.keys()
    errors = {key: ((ours[key] - g).norm() / g.norm().clamp_min(1e-9)).item() for key, g in theirs.items()}
    assert max(errors.values()) < 1e-4, sorted(errors.items(), key=lambda e: -e[1])[:5]


@pytest.mark.parametrize("name", ssm.names("dis"))
def test_dis_in_two_directions(name, fast):
    config, tensors, state, _ = ssm.fixture(name)
    backbone, t = load_official("dis", state, **config).cuda(), on_gpu(tensors)
    with torch.no_grad():
        out = backbone(t["input.x"], t["input.t"], t.get("input.y"))
    torch.testing.assert_close(out, t["output"], atol=4e-5, rtol=0)
    blocks = len(backbone.blocks)
    assert fast == {("selective_scan", "forward"): blocks, ("conv", "forward"): blocks}


@pytest.mark.parametrize("name", [n for n in ssm.names("zigma") if not n.endswith("asis")])
def test_zigma(name, fast):
    config, tensors, state, _ = ssm.fixture(name)
    backbone, t = load_official("zigma", state, **config).cuda(), on_gpu(tensors)
    with torch.no_grad():
        out = backbone(t["input.x"], 1000 * t["input.t"], t.get("input.y"))
    torch.testing.assert_close(out, t["output"], atol=2e-5, rtol=0)
    assert fast["selective_scan", "forward"] > 0
