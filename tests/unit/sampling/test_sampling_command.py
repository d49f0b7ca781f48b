"""zoo-sample fills a folder, goes on where it stopped, and never mixes samples."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import zoo
from zoo.cli.sample import main
from zoo.errors import ZooError
from zoo.sampling.fill import by_class
from zoo.sampling.progress import Progress


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
    (["--classes", "cat"], "unknown class 'cat'"), (["--preset", "strng"], "did you mean 'strong'"),
    (["--shard", "2/2"], "write I/N"), (["--size", "6x8", "guidance.use=upsample"], "4x8 or 8x8"),
    (["sampler=ddpm"], "no discrete chain"), (["guidance={use: upsample, published: true}"], "chain of 1000 steps"),
    (["sampler={use: heun, end: 0.0}"], "not finite at t = 0"), (["sampler.end=0.5", "sampler.start=0.2"], "< start"),
    (["--gpus", "0"], "at least 1"), (["-n", "0"], "at least 1"), (["--batch", "0"], "at least 1"),
    (["backbone.depth=3"], "the weights have fixed this"), (["sampler.step=3"], "steps"),
    (["sampler.steps=0"], "steps 0"), (["--device", "gpu"], "device 'gpu'"),
])  # fmt: skip
def test_mistakes_end_with_2_one_message_and_no_folder(run, tmp_path, words, message):
    code, text = run("-n", "1", *words)
    assert code == 2 and message in text and "Traceback" not in text
    assert not (tmp_path / "out").exists()


def test_a_preset_comes_first_and_overrides_over_it(run, tmp_path):
    sampled = {}
    for out, words in {"a": ["--preset", "strong"], "b": ["--preset", "strong", "guidance.scale=2"], "c": []}.items():
        assert run("-n", "1", *words, out=out)[0] == 0
        sampled[out] = json.loads((tmp_path / out / "sample.json").read_text())["guidance"]["scale"]
    assert sampled == {"a": 4.0, "b": 2.0, "c": 1.5}


def test_upsample_guidance_stands_on_the_recipe_s_own(run, tmp_path):
    """--size with guidance.use=upsample, from the command to the pictures: 8 x 8 becomes 16 x 24."""
    assert run("-n", "2", "--size", "16x24", "guidance.use=upsample") == (0, "")
    base = json.loads((tmp_path / "out/sample.json").read_text())["guidance"]["base"]
    assert base == {"use": "cfg", "scale": 1.5, "interval": None, "channels": None}
    assert all(picture.shape == (16, 24, 3) for picture in pictures(tmp_path / "out").values())
    run("-n", "1", "guidance.use=upsample", "guidance.base=none", "--size", "16", out="free")
    assert json.loads((tmp_path / "free/sample.json").read_text())["guidance"]["base"] == {"use": "none"}


def test_each_class_gets_a_grid(run, tmp_path):
    run("-n", "7", "--classes", "1,3", "--class-grids")
    grids = {p.name: Image.open(p).size for p in (tmp_path / "out").glob("grid-*.png")}
    assert grids == {"grid-label1.png": (18, 18), "grid-label3.png": (18, 18)}
    first = np.asarray(Image.open(tmp_path / "out/grid-label3.png"))[:8, :8]
    assert np.array_equal(first, pictures(tmp_path / "out")["000001.png"])


def test_classes_that_there_are_not_have_no_grids(backbone, recipe):
    with pytest.raises(ZooError, match="no classes"):
        by_class({}, backbone, recipe)


def test_precision_is_part_of_the_record_and_changes_little(run, tmp_path):
    assert run("-n", "8", "--precision", "bf16", out="half")[0] == 0 and run("-n", "8")[0] == 0
    assert json.loads((tmp_path / "half/sample.json").read_text())["precision"] == "bf16"
    code, text = run("-n", "8", out="half")
    assert code == 2 and 'precision "bf16" there, "fp32" here' in text
    a, b = (np.stack(list(pictures(tmp_path / out).values())).astype(int) for out in ("half", "out"))
    assert 0 < np.abs(a - b).mean() < 3, "bf16 was in use, and drew the same images"


def test_without_a_terminal_a_line_says_how_far_it_is():
    progress = Progress(1000, 200, Console(file=io.StringIO()))
    progress.drawn(100)
    assert progress.line(10.0) == "sampling 300/1,000 images, 10 images/s, 1 min 10 s left"
    assert Progress(5, 0, Console(file=io.StringIO())).line(0.0) == "sampling 0/5 images, 0 images/s, ? left"


def test_weights_that_are_none_end_with_2(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "out").exists()
