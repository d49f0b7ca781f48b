"""Videos from zoo-sample: GIF, MP4 and WebM, singles and a grid; none of it for images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from zoo.builder import build_backbone
from zoo.cli.sample import main
from zoo.errors import ShapeError, ZooError
from zoo.sampling.motion import clip_grid, read_clip, save_clip
from zoo.weights.load import save_pretrained


@pytest.fixture
def run(recipe, tmp_path, capsys):
    """Runs zoo-sample on a tiny model of five frames."""
    torch.manual_seed(0)
    video = recipe.override(["shape=[5,3,8,12]", "backbone.position=space_time"])
    weights = save_pretrained(build_backbone(video), tmp_path / "model", video)

    def call(*words: str) -> tuple[int, str]:
        code = main([str(weights), "--device", "cpu", "--out", str(tmp_path / "out"), *words])
        return code, capsys.readouterr().err

    call.weights = weights
    return call


def noise(frames=6, side=8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, side, side, 3), dtype=np.uint8)


def test_a_folder_has_gifs_a_grid_in_motion_and_a_record(run, tmp_path):
    assert run("-n", "3", "--fps", "5") == (0, "")
    found = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert found == ["000000.gif", "000001.gif", "000002.gif", "grid.gif", "sample.json"]
    with Image.open(tmp_path / "out/grid.gif") as grid:
        assert (grid.n_frames, grid.info["duration"], grid.size) == (5, 200, (12 * 2 + 2, 8 * 2 + 2))
    record = json.loads((tmp_path / "out/sample.json").read_text())
    assert record["format"] == "gif" and record["fps"] == 5 and record["size"] == [8, 12]


def test_gifs_show_what_the_api_draws(run, tmp_path):
    run("-n", "2", "--classes", "2,0")
    clips = zoo.sample(run.weights, n=2, classes=[2, 0], device="cpu")
    for i, clip in enumerate(clips):
        assert clip.shape == (5, 8, 12, 3)
        assert np.abs(read_clip(tmp_path / f"out/{i:06}.gif", 5).astype(int) - clip).mean() < 3


def test_a_stopped_command_goes_on_with_what_is_missing_or_torn(run, tmp_path):
    run("-n", "3")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").glob("0*.gif")}
    kept = (tmp_path / "out/000002.gif").stat().st_mtime_ns
    (tmp_path / "out/000000.gif").unlink()
    (tmp_path / "out/000001.gif").write_bytes(b"GIF89a torn")
    assert run("-n", "3")[0] == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").glob("0*.gif")} == before
    assert (tmp_path / "out/000002.gif").stat().st_mtime_ns == kept
    code, text = run("-n", "3", "--fps", "9")
    assert code == 2 and "fps 8.0 there, 9.0 here" in text


def test_an_npz_holds_the_videos_whoever_draws_them_and_its_grid_moves(run, tmp_path):
    out = str(tmp_path / "out.npz")
    for i in (1, 0):
        assert run("-n", "6", "--batch", "2", "--out", out, "--shard", f"{i}/2")[0] == 0
    with np.load(out) as held:
        assert held["labels"].tolist() == [0, 1, 2, 3, 0, 1]
        assert np.array_equal(held["arr_0"], np.stack(zoo.sample(run.weights, n=6, batch=2, device="cpu")))
    assert run("-n", "6", "--batch", "2", "--out", out, "--fps", "4")[0] == 0, "speed is of the grid alone"
    with Image.open(tmp_path / "out-grid.gif") as grid:
        assert (grid.n_frames, grid.info["duration"], grid.size) == (5, 250, (12 * 3 + 4, 8 * 2 + 2))


def test_several_processes_and_class_grids(run, tmp_path):
    code, text = run("-n", "6", "--batch", "2", "--gpus", "2", "--class-grids", "--precision", "bf16")
    assert code == 0, text
    found = {p.name for p in (tmp_path / "out").iterdir()}
    assert found >= {*(f"{i:06d}.gif" for i in range(6)), "grid.gif", "grid-label3.gif"}
    assert json.loads((tmp_path / "out/sample.json").read_text())["precision"] == "bf16"


@pytest.mark.parametrize("format", ["mp4", "webm"])
def test_other_formats_come_from_ffmpeg(run, tmp_path, format):
    pytest.importorskip("imageio_ffmpeg")
    assert run("-n", "2", "--format", format)[0] == 0
    clip, drawn = read_clip(tmp_path / f"out/000000.{format}", 5), zoo.sample(run.weights, n=1, device="cpu")[0]
    assert clip.shape == (5, 64, 96, 3)  # enlarged to be seen
    assert np.abs(clip[:, 4::8, 4::8].astype(int) - drawn).mean() < 25  # colour at half resolution
    assert (tmp_path / f"out/grid.{format}").stat().st_size > 500


@pytest.mark.parametrize(("words", "message"), [
    (["--format", "avi"], "gif, mp4, webm"), (["--fps", "1000"], "up to 100"), (["--fps=-1"], "above 0"),
])  # fmt: skip
def test_mistakes_end_with_2_and_no_folder(run, tmp_path, words, message):
    code, text = run("-n", "1", *words)
    assert code == 2 and message in text and not (tmp_path / "out").exists()


def test_without_the_package_the_extra_is_named_before_anything_is_drawn(run, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    code, text = run("-n", "1", "--format", "mp4")
    assert code == 2 and "backbone-zoo[video]" in text and not (tmp_path / "out").exists()


def test_images_have_no_format(weights, tmp_path, capsys):
    assert main([str(weights), "--device", "cpu", "--out", str(tmp_path / "out"), "--format", "gif"]) == 2
    assert "this model makes images" in capsys.readouterr().err


def test_frames_that_are_alike_are_read_back_as_often_as_they_were_written(tmp_path):
    clip = noise()[[0, 0, 0, 1, 2, 2]]
    read = read_clip(save_clip(clip, tmp_path / "a.gif", 12.5), 6, 12.5)
    assert np.array_equal(read[0], read[2]) and np.array_equal(read[4], read[5])
    assert np.abs(read.astype(int) - clip).mean() < 3
    with pytest.raises(ShapeError, match="6 frames, not 7"):
        read_clip(tmp_path / "a.gif", 7, 12.5)


def test_a_grid_moves_all_clips_together_and_wants_one_length():
    sheet = clip_grid([noise(), noise() // 2])
    assert sheet.shape == (6, 8, 18, 3) and np.array_equal(sheet[3, :, 10:], noise()[3] // 2)
    with pytest.raises(ShapeError, match="one length"):
        clip_grid([noise(), noise(5)])


def test_a_format_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ZooError, match="png"):
        save_clip(noise(), tmp_path / "a.png")
