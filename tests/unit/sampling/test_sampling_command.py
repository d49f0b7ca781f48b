"""zoo-sample fills a folder, goes on where it stopped, and never mixes samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

import zoo
from zoo.cli.sample import main


@pytest.fixture
def run(weights, tmp_path, capsys):
    """Runs zoo-sample on the tiny weights: (exit code, text on stderr)."""

    def call(*words: str, out: str = "out") -> tuple[int, str]:
        code = main([str(weights), "--device", "cpu", "--out", str(tmp_path / out), *words])
        return code, capsys.readouterr().err

    return call


def pictures(folder) -> dict[str, np.ndarray]:
    return {p.name: np.asarray(Image.open(p)) for p in sorted(folder.glob("[0-9]*.png"))}


def test_a_folder_has_singles_a_grid_and_a_record(run, tmp_path):
    assert run("-n", "5", "--seed", "3", "--size", "4x8", "sampler.steps=2") == (0, "")
    found = pictures(tmp_path / "out")
    assert list(found) == [f"{i:06d}.png" for i in range(5)] and found["000000.png"].shape == (4, 8, 3)
    assert Image.open(tmp_path / "out/grid.png").size == (8 * 3 + 4, 4 * 2 + 2)
    record = json.loads((tmp_path / "out/sample.json").read_text())
    assert record["seed"] == 3 and record["size"] == [4, 8] and record["sampler"]["steps"] == 2
    assert record["guidance"]["scale"] == 1.5 and {"recipe", "weights", "versions", "classes"} <= record.keys()


def test_the_command_and_the_api_draw_the_same(run, weights, tmp_path):
    run("-n", "3", "--classes", "2,0")
    images = zoo.sample(weights, n=3, classes=[2, 0], device="cpu")
    assert all(np.array_equal(a, b) for a, b in zip(pictures(tmp_path / "out").values(), images, strict=True))


def test_a_stopped_command_goes_on(run, tmp_path):
    run("-n", "6", "--batch", "2", out="whole")
    run("-n", "3", "--batch", "2")
    kept = (tmp_path / "out/000001.png").stat().st_mtime_ns
    (tmp_path / "out/000000.png").unlink()
    (tmp_path / "out/000002.png").write_bytes(b"\x89PNG torn")
    assert run("-n", "6", "--batch", "4")[0] == 0
    assert (tmp_path / "out/000001.png").stat().st_mtime_ns == kept
    a, b = pictures(tmp_path / "out"), pictures(tmp_path / "whole")
    assert a.keys() == b.keys() and np.mean([a[k] == b[k] for k in a]) >= 0.9999


@pytest.mark.parametrize(("words", "difference"), [
    (["--seed", "1"], "seed 0 there, 1 here"), (["--size", "4x4"], "size [8, 8] there, [4, 4] here"),
    (["--classes", "1"], "classes.label null there, [1] here"), (["sampler.steps=3"], "sampler.steps 4 there, 3 here"),
    (["guidance.scale=2"], "guidance.scale 1.5 there, 2.0 here"),
])  # fmt: skip
def test_another_kind_of_sample_is_kept_out(run, tmp_path, words, difference):
    run("-n", "1")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    code, text = run("-n", "1", *words)
    assert code == 2 and f"made otherwise: {difference}; give another --out" in text
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_a_broken_record_keeps_its_folder(run, tmp_path):
    run("-n", "1")
    (tmp_path / "out/sample.json").write_text("[1]")
    code, text = run("-n", "1")
    assert code == 2 and "unreadable" in text and (tmp_path / "out/sample.json").read_text() == "[1]"


def test_pictures_of_unknown_origin_are_kept_out(run, tmp_path):
    (tmp_path / "out").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "out/000000.png")
    assert run("-n", "1")[0] == 2


@pytest.mark.parametrize(("words", "message"), [
    (["--size", "7x8"], "6x8 or 8x8"), (["--size", "big"], "HEIGHTxWIDTH"), (["--classes", "9"], "0..3"),
    (["--classes", "cat"], "unknown class 'cat'"), (["-n", "0"], "at least 1"), (["--batch", "0"], "at least 1"),
    (["backbone.depth=3"], "the weights have fixed this"), (["sampler.step=3"], "steps"),
    (["sampler.steps=0"], "steps 0"), (["--device", "gpu"], "device 'gpu'"),
])  # fmt: skip
def test_mistakes_end_with_2_one_message_and_no_folder(run, tmp_path, words, message):
    code, text = run("-n", "1", *words)
    assert code == 2 and message in text and "Traceback" not in text
    assert not (tmp_path / "out").exists()


def test_weights_that_are_none_end_with_2(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "out").exists()
