"""What is shown about the use of a GPU, and Weights & Biases."""

from __future__ import annotations

import json
import sys
import types

import pytest
import torch
from tiny_runs import trained

from zoo.errors import BackendError
from zoo.train.usage import Usage, peak_of


@pytest.mark.parametrize(("name", "precision", "peak"), [
    ("NVIDIA H200", "bf16", 989e12), ("NVIDIA H100 80GB HBM3", "tf32", 495e12), ("NVIDIA H100 PCIe", "bf16", 756e12),
    ("NVIDIA A100-SXM4-80GB", "fp32", 19.5e12), ("Tesla T4", "fp16", 65e12), ("NVIDIA GH200 480GB", "bf16", 989e12),
    ("some other card", "bf16", None),
])  # fmt: skip
def test_peaks_are_found_by_name(name, precision, peak):
    assert peak_of(name, precision) == peak


def test_utilisation_is_six_operations_a_multiply_add(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    usage = Usage(18_097_657_856, torch.device("cuda"), "bf16", gpus=2)
    assert usage(2500) == {"mfu": round(2500 * 6 * 18_097_657_856 / (2 * 989e12), 4), "memory_gib": 3.0}


def test_a_cpu_shows_neither():
    assert Usage(10, torch.device("cpu"), "fp32")(100) == {}


@pytest.fixture
def wandb(monkeypatch):
    """A stand-in for the library that remembers its calls."""
    calls = []

    class Run:
        define_metric = staticmethod(lambda *a, **k: None)
        log = staticmethod(calls.append)
        finish = staticmethod(lambda: calls.append("finished"))

    module = types.SimpleNamespace(
        Settings=lambda **k: k, init=lambda **options: calls.append(options) or Run())  # fmt: skip
    monkeypatch.setitem(sys.modules, "wandb", module)
    return calls


def test_a_run_and_its_continuation_are_one_run_of_wandb(tiny, tmp_path, wandb):
    trained(tiny("train.steps=3", "train.loggers=[wandb]"), tmp_path / "a")
    trained(tiny("train.steps=6", "train.loggers=[wandb]"), tmp_path / "a", resume=True)
    first, second = (call for call in wandb if isinstance(call, dict) and "project" in call)
    assert first["id"] == second["id"] and first["mode"] == "offline" and first["name"] == "a"
    assert first["config"]["train"]["batch"] == 6 and second["resume"] == "allow"
    assert [c["step"] for c in wandb if isinstance(c, dict) and "loss" in c] == [3, 6] and wandb[-1] == "finished"
    assert json.loads((tmp_path / "a/wandb.json").read_text())["id"] == first["id"]


def test_wandb_says_what_to_install(monkeypatch, tmp_path):
    from zoo.loggers.wandb import WandB

    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BackendError, match="pip install wandb"):
        WandB(tmp_path, 0)


def test_wandb_itself_writes_offline(tmp_path):
    pytest.importorskip("wandb")
    from zoo.loggers.wandb import WandB

    log = WandB(tmp_path, 0)
    log.log(1, {"loss": 0.5})
    log.close()
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
