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
from zoo.ops.selective_scan import cuda as scan

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """How often the CUDA kernels ran; matrix products in float32, as when the fixtures were made."""
    calls, device = Counter(), torch.device("cuda")  # self-tests run here, uncounted
    reasons = [m.supports(Problem(device, torch.float32, n)) for m, n in ((scan, 16), (conv, 4))]
    assert reasons == [None, None]
    for module, name in ((scan, "forward"), (scan, "backward"), (conv, "forward"), (conv, "backward")):
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, f=function, k=(module.FOLDER.name if module is scan else "conv",
                                                                   name): (calls.update([k]), f(*a))[1])  # fmt: skip
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return calls


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
