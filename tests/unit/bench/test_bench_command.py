"""zoo-bench measures, prints tables, writes JSON and pictures; the page is made of them."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import torch

from zoo.bench import clock, op_cases
from zoo.bench.op_cases import Case
from zoo.bench.results import load, quoted, save
from zoo.bench.tables import tables
from zoo.cli.bench import main
from zoo.errors import ZooError

ROOT = Path(__file__).parents[3]
TINY = ["backbone.width=32", "backbone.depth=3"]
TRIO = ["dim_s_cifar", *TINY, "uvit_s_cifar", *TINY, "mamba_s_cifar", *TINY]
COMMANDS = {  # by the result that they leave
    "bench_step_cpu": [*TRIO, "--res", "64,128,2048", "--detail", "64", "--limit", "0.2"],
    "bench_train_cpu": ["train", "dim_s_cifar", *TINY, "shape=[3,8,8]", "--batch", "2,4"],
    "bench_ops_cpu": ["ops", "--json"],
    "bench_versus_cpu": ["ops", "--versus", "attention", "--tokens", "16,64", "--width", "64"],
}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def page(script):
    return script("bench_page")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    cases = [Case("selective_scan", way, 1, 8, 20, 4) for way in ("forward", "backward")]
    cases += [Case("selective_scan", "forward", 1, 8, 20, 4, shuffled=True)]
    cases += [Case("causal_conv", "forward", 1, 8, 20, 4)]
    monkeypatch.setattr(op_cases, "CPU_CASES", cases)
    monkeypatch.setattr(clock, "_samples", one_sample)


def one_sample(call, device, budget):
    """After a warm-up; how many there should be is for test_bench_measuring.py."""
    clock._times(call, device, 1)
    return 1


def bench(*words, out):
    return main([*words, "--device", "cpu", "--out", str(out)])


def run_one(name, out):
    assert bench(*COMMANDS[name], out=out) == 0
    return load(out / f"{name}.json")


def test_one_step_of_three(out, capsys):
    result = run_one("bench_step_cpu", out)
    points = {(p["contestant"], p["at"]): p for p in result["points"]}
    names = [c["label"] for c in result["contestants"]]
    assert names == ["dim_s_cifar", "uvit_s_cifar", "mamba_s_cifar"]
    assert set(points) == {(name, at) for name in names for at in (64, 128)}
    assert result["skipped"][0]["at"] == 2048 and result["skipped"][0]["estimate_s"] > 12
    assert points["dim_s_cifar", 64]["shape"] == [3, 8, 8] and points["dim_s_cifar", 128]["tokens"] == 64
    assert all(p["forms"]["eager"]["ms"] > 0 and p["macs"] > 0 for p in result["points"])
    assert "scan" in points["dim_s_cifar", 64]["shares"] and "attention" in points["uvit_s_cifar", 64]["shares"]
    assert "shares" not in points["dim_s_cifar", 128]
    assert [(c["first"], c["other"]) for c in result["crossovers"]] == [(names[0], names[1]), (names[0], names[2])]
    assert {g["contestant"] for g in result["growth"]} == set(names)
    for what in ("figure3", "time"):
        ElementTree.parse(out / f"bench_step_cpu_{what}.svg")
    printed = capsys.readouterr()
    assert "skipped: would take longer than 0.2 minutes" in printed.out and "torch" in printed.out


def test_frames_are_another_axis(tmp_path):
    assert bench("mamba_s_cifar", *TINY, "--frames", "2,4", "--res", "32", out=tmp_path) == 0
    result = load(tmp_path / "bench_step_cpu.json")
    assert result["axis"] == "frames" and [p["shape"] for p in result["points"]] == [[2, 3, 4, 4], [4, 3, 4, 4]]


PAIR = ["bidim_s_video", *TINY, "dit_s2_imagenet256", *TINY, "backbone.mixer.heads=2",
        "backbone.position=sincos_space_time", "--labels", "ours,DiT", "--res", "32", "--detail", "none"]  # fmt: skip


def test_where_memory_ends_is_a_result(tmp_path, monkeypatch, capsys):
    from zoo.bench import steps

    plain = steps.gradients

    def small(network, x, t, y):
        if x.shape[1] >= 5 and "attention" in str(type(network.blocks[0].mixer)):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 64.00 GiB.")
        if x.shape[1] == 6:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")
        plain(network, x, t, y)

    monkeypatch.setattr(steps, "gradients", small)
    assert bench(*PAIR, "--frames", "1,2,3,4,5,6", "--backward", out=tmp_path) == 0
    result = load(tmp_path / "bench_step_cpu.json")
    assert result["backward"]
    assert result["out_of_memory"] == [{"contestant": "DiT", "at": 5}, {"contestant": "ours", "at": 6}]
    seen = {(p["contestant"], p["at"]): p for p in result["points"]}
    assert len(seen) == 11 and seen["DiT", 5]["failed"] == {"eager": "out of memory"}  # and 6 was not tried
    assert seen["ours", 5]["forms"]["eager"]["ms"] > 0 and seen["DiT", 5]["macs"] > 0
    assert {fit["contestant"]: fit["to"] for fit in result["lines"]} == {"ours": 20, "DiT": 16}
    printed = capsys.readouterr()
    assert "the first frames without memory enough" in printed.out and "frames 5: ours" in printed.err
    assert "out of memory: DiT from 5, ours from 6" in (tmp_path / "bench_step_cpu_memory.svg").read_text()
    curves = ElementTree.parse(tmp_path / "bench_step_cpu_tokens.svg").iter("{http://www.w3.org/2000/svg}polyline")
    assert [c.get("stroke-dasharray") is not None for c in curves] == [False, True, False, True]


def test_another_mistake_is_no_want_of_memory(tmp_path, monkeypatch):
    from zoo.bench import steps

    def broken(*inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(steps, "gradients", broken)
    with pytest.raises(RuntimeError, match="mat1"):
        bench(*PAIR, "--frames", "1", "--backward", out=tmp_path)


def test_gradients_need_more_memory_than_the_step_alone(tmp_path):
    for more in ([], ["--backward"]):
        words = [*PAIR[:-4], "--res", "256", "--detail", "none", *more, "--name", f"n{len(more)}"]
        assert bench(*words, out=tmp_path) == 0
    alone, both = (load(tmp_path / f"bench_step_n{n}.json")["points"][0] for n in (0, 1))
    assert both["forms"]["eager"]["ms"] > alone["forms"]["eager"]["ms"] and both["macs"] == alone["macs"]


def test_an_update_of_training(out, capsys):
    result = run_one("bench_train_cpu", out)
    assert [u["batch"] for u in result["updates"]] == [2, 4]
    for update in result["updates"]:
        assert update["images_per_s"] == pytest.approx(1e3 * update["batch"] / update["ms"], abs=1)
        assert update["loss"] > 0 and {"optimizer", "scan", "gemm"} <= set(update["shares"])


def test_operators_and_json(out, capsys):
    run_one("bench_ops_cpu", out)
    result = json.loads(capsys.readouterr().out)
    measured = {(r["case"], r["backend"]): r for r in result["cases"] if "ms" in r}
    assert ("selective_scan forward (1,8,20)", "cpu") in measured
    assert ("causal_conv forward (1,8,20)", "naive") in measured
    reasons = {r["backend"]: r["why_not"] for r in result["cases"] if "why_not" in r}
    assert reasons["mamba_ssm, channel-first"] == "tensors are on cpu"
    one = measured["selective_scan forward (1,8,20)", "cpu"]
    assert one["rate"] == pytest.approx(8 * 20 * 4 / one["ms"] * 1e3, rel=1e-3)
    assert one["of_bound"] == pytest.approx(one["floor_ms"] / one["ms"], rel=1e-3)
    assert {t.key for t in tables(result)} >= {"cases", "orders", "rates", "absent"}


def test_one_scan_against_one_attention(out):
    result = run_one("bench_versus_cpu", out)
    assert {r["what"] for r in result["points"]} == {"scan, 64 channels", "scan, 128 channels", "attention, 1 x 64"}
    macs = {(r["what"], r["tokens"], r["pass"]): r["macs"] for r in result["points"]}
    assert macs["attention, 1 x 64", 64, "forward"] == 2 * 2 * 64**2 * 64
    assert macs["scan, 64 channels", 64, "forward"] == 2 * 64 * 64 * (3 * 16 + 2)


def test_the_page_has_all_of_it(out, page, tmp_path):
    for name in COMMANDS:  # another process may have had the tests above
        if not (out / f"{name}.json").exists():
            run_one(name, out)
    path = tmp_path / "benchmarks.md"
    page.main(["--results", str(out), "--page", str(path)])
    text = path.read_text()
    for title in page.TITLES.values():
        assert f"## {title}" in text
    for link in [part.split(")")[0] for part in text.split("](")[1:]]:
        assert (tmp_path / link).exists(), link


def test_the_page_without_results(page, tmp_path):
    assert "Nothing has been measured yet" in page.page(tmp_path / "none", tmp_path)


def test_quoted_figures_stand_beside_the_same_device_only(tmp_path):
    result = {"kind": "train", "machine": {"device": "NVIDIA H200", "versions": {}, "date": ""}, "updates": [],
              "contestants": [{"label": "a", "recipe": "dim_s_cifar", "settings": []}]}  # fmt: skip
    assert [t.key for t in tables(result)] == ["quoted"]
    result["machine"]["device"] = "another"
    assert tables(result) == []
    lines = quoted()["step"]["lines"].values()
    assert all(len(line["ms"]) == len(quoted()["step"]["resolution"]) for line in lines) and quoted()["source"]


def test_results_round_trip_and_others_are_refused(tmp_path):
    result = {"kind": "ops", "cases": [{"a": 1.23456789, "b": [1, float("nan")]}], "n": {"x": 1}}
    kept = {"kind": "ops", "cases": [{"a": 1.23457, "b": [1, None]}], "n": {"x": 1}}
    assert load(save(result, tmp_path, "x")) == kept
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(ZooError, match="no result of zoo-bench"):
        load(tmp_path / "other.json")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--res", "250"], "use 240x240 or 256x256"),
        (["--res", "x"], "no number and no range"),
        (["dim_s_cifra"], "did you mean 'dim_s_cifar'"),
        (["dim_s_cifar", "backbone.wdth=3"], "width"),
        (["--batch", "0"], "--batch: 0 is too small"),
        (["ops", "--backends", "cdua"], "no operator has a backend 'cdua'"),
        (["train", "backbone.width=3"], "needs a recipe"),
    ],
)
def test_mistakes_are_told_before_the_work(words, message, tmp_path, capsys):
    assert bench(*words, out=tmp_path / "out") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "out").exists()
