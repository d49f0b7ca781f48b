"""zoo-bench on a GPU: graphs, kernel shares by operator, attention kernels, rates that a GPU can have."""

import pytest
import torch

from zoo.bench import op_cases
from zoo.bench.clock import Call, captured, measure
from zoo.bench.memory import peak
from zoo.bench.op_cases import Case
from zoo.bench.rates import rates
from zoo.bench.results import load
from zoo.bench.shares import shares
from zoo.cli.bench import main

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
TINY = ["backbone.width=128", "backbone.depth=3"]


def test_a_graph_takes_the_gpus_time_alone():
    x = torch.zeros(64, device="cuda")

    def run():
        for _ in range(200):
            x.add_(1)

    found = measure({"graph": Call(captured(run)), "eager": Call(run, wall=True)}, torch.device("cuda"))
    assert found["graph"].ms < found["eager"].ms


def test_peak_memory_and_shares_of_a_product():
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    device = torch.device("cuda")
    a @ a  # takes a workspace, which stays
    assert 32 <= peak(lambda: a @ a, device) / 2**20 < 34
    found = shares(lambda: (a @ a).relu(), device)
    assert found.kernels >= 2 and found.shares["gemm"] > 0.5 and found.shares["elementwise"] > 0.001


def test_rates_are_those_of_a_gpu():
    found = rates(torch.device("cuda"))
    assert 1e11 < found.bytes < 2e13 and 2e11 < found.exp2 < 2e13 and 4 < found.fma / found.exp2 < 20


def test_a_sweep_on_a_gpu(tmp_path):
    words = [w for name in ("dim_s_cifar", "uvit_s_cifar", "mamba_s_cifar") for w in (name, *TINY)]
    assert main([*words, "--res", "128,256", "--detail", "256", "--out", str(tmp_path), "--name", "x"]) == 0
    result = load(tmp_path / "bench_step_x.json")
    assert all("graph" in p["forms"] for p in result["points"]), [p["failed"] for p in result["points"]]
    fine = {p["contestant"]: p for p in result["points"] if p["at"] == 256}
    assert fine["dim_s_cifar"]["shares"]["scan"] > 0.05 and fine["dim_s_cifar"]["kernels"] > 20
    assert {"eager", "graph"} < set(fine["uvit_s_cifar"]["forms"]) and "scan" not in fine["uvit_s_cifar"]["shares"]
    assert all(p["activation_mib"] > 0 for p in result["points"])


def test_operators_on_a_gpu(tmp_path, monkeypatch):
    cases = [Case("selective_scan", way, 4, 256, 365, 16) for way in ("forward", "backward")]
    monkeypatch.setattr(op_cases, "GPU_CASES", [*cases, Case("causal_conv", "forward", 4, 256, 365, 4)])
    assert main(["ops", "--out", str(tmp_path), "--name", "x"]) == 0
    measured = [r for r in load(tmp_path / "bench_ops_x.json")["cases"] if "ms" in r]
    assert {"triton", "naive"} <= {r["backend"] for r in measured}
    assert all(0 < r["of_bound"] < 1.2 for r in measured)


def test_an_update_on_a_gpu(tmp_path):
    assert main(["train", "dim_s_cifar", *TINY, "--batch", "16", "--out", str(tmp_path), "--name", "x"]) == 0
    eager, graph = load(tmp_path / "bench_train_x.json")["updates"]
    assert [eager["form"], graph["form"]] == ["eager", "graph"] and graph["loss"] > 0
    assert eager["loss"] > 0 and eager["peak_mib"] > eager["above_mib"] > 0 and eager["kernels"] > 100


def test_one_scan_against_one_attention_on_a_gpu(tmp_path):
    words = ["--versus", "attention", "--tokens", "256,1024", "--width", "256", "--out", str(tmp_path), "--name", "x"]
    assert main(["ops", *words]) == 0
    points = load(tmp_path / "bench_versus_x.json")["points"]
    assert {p["what"] for p in points} == {"scan, 256 channels", "scan, 512 channels", "attention, 4 x 64",
                                           "attention, 2 x 128"}  # fmt: skip
    assert all(p["kernel"] in ("cudnn", "flash") for p in points if p["what"].startswith("attention"))


def test_an_update_of_training_in_every_form(tmp_path):
    words = ["dim_s_cifar", *TINY, "train.precision=bf16", "--batch", "16", "--compile"]
    assert main(["train", *words, "--out", str(tmp_path), "--name", "x"]) == 0
    found = {u["form"]: u for u in load(tmp_path / "bench_train_x.json")["updates"]}
    assert list(found) == ["eager", "graph", "compiled", "compiled, graph"]
    assert found["graph"]["ms"] < found["eager"]["ms"] and found["graph"]["shares"]["scan"] > 0.05
    peaks = found["graph"]["peak_mib"], found["eager"]["peak_mib"]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.1, abs=100)  # MiB: a graph's memory comes in whole segments
    assert found["graph"]["kernels"] == pytest.approx(found["eager"]["kernels"], rel=0.2)
