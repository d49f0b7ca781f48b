"""The same images whatever the number of processes, the batch size or the interruption; as PNG and as npz."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from zoo.cli.sample import main
from zoo.errors import ZooError
from zoo.sampling.form import Stills
from zoo.sampling.npz import Npz
from zoo.sampling.work import Shard, parse_shard


@pytest.fixture
def run(weights, tmp_path, capsys):
    """Runs zoo-sample on the tiny weights: (exit code, stdout, stderr)."""

    def call(*words: str, out: str = "out.npz") -> tuple[int, str, str]:
        code = main([str(weights), "--device", "cpu", "--out", str(tmp_path / out), *words])
        return code, *capsys.readouterr()

    return call


def arrays(path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as held:
        return dict(held)


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """At least 99.99 % of the values agree, and no other by more than one level."""
    difference = np.abs(a.astype(int) - b.astype(int))
    return a.shape == b.shape and np.mean(difference == 0) >= 0.9999 and difference.max() <= 1


def test_an_npz_holds_the_images_of_the_folder_with_their_labels(run, tmp_path):
    assert run("-n", "10", "--batch", "4")[0] == 0
    assert run("-n", "10", "--batch", "3", out="folder")[0] == 0
    held = arrays(tmp_path / "out.npz")
    folder = np.stack([np.asarray(Image.open(tmp_path / f"folder/{i:06d}.png")) for i in range(10)])
    assert held["arr_0"].dtype == np.uint8 and same(held["arr_0"], folder)
    assert held["labels"].tolist() == [i % 4 for i in range(10)] and held["label_names"].tolist() == ["label"]
    assert json.loads(str(held["record"]))["images"] == 10
    assert np.array_equal(Image.open(tmp_path / "out-grid.png"), Image.open(tmp_path / "folder/grid.png"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "model", "out-grid.png", "out.npz"]


def test_a_finished_npz_is_left_alone_and_a_foreign_one_too(run, tmp_path):
    run("-n", "4")
    before = (tmp_path / "out.npz").read_bytes()
    code, said, _ = run("-n", "4")
    assert code == 0 and "4 images" in said and " 0 new" in said
    for words, difference in ([("-n", "6"), "images 4 there, 6 here"], [("-n", "4", "--seed", "1"), "seed 0 there"]):
        code, _, text = run(*words)
        assert code == 2 and difference in text
    assert (tmp_path / "out.npz").read_bytes() == before
    np.savez(tmp_path / "other.npz", arr_0=np.zeros((4, 8, 8, 3), np.uint8))
    code, _, text = run("-n", "4", out="other.npz")
    assert code == 2 and "no record inside" in text


@pytest.mark.parametrize("out", ["out.npz", "out"])
def test_shards_run_one_by_one_make_the_whole(run, tmp_path, out):
    run("-n", "22", "--batch", "4", out="whole.npz")
    for i, left in ((2, 16), (0, 8)):
        code, said, _ = run("-n", "22", "--batch", "4", "--shard", f"{i}/3", out=out)
        assert code == 0 and f"{left} of others are not there yet" in said
        assert not (tmp_path / "out.npz").exists() and not (tmp_path / "out/grid.png").exists()
    assert "22 images in" in run("-n", "22", "--batch", "4", "--shard", "1/3", out=out)[1]
    read = arrays(tmp_path / out)["arr_0"] if out.endswith("npz") else np.stack(
        [np.asarray(Image.open(tmp_path / f"out/{i:06d}.png")) for i in range(22)]
    )  # fmt: skip
    assert np.array_equal(read, arrays(tmp_path / "whole.npz")["arr_0"]), "with one batch size, bit for bit"


def test_another_batch_size_may_go_on(run, tmp_path):
    run("-n", "20", "--batch", "8", "--shard", "1/2")
    run("-n", "20", "--batch", "5")
    run("-n", "20", out="whole.npz")
    assert same(arrays(tmp_path / "out.npz")["arr_0"], arrays(tmp_path / "whole.npz")["arr_0"])


def test_a_torn_part_is_drawn_again(run, tmp_path):
    run("-n", "12", "--batch", "4", "--shard", "0/2")
    first, second = sorted((tmp_path / "out.npz.parts").glob("*.npy"))
    first.write_bytes(first.read_bytes()[:-1])
    run("-n", "12", "--batch", "6")
    run("-n", "12", out="whole.npz")
    assert same(arrays(tmp_path / "out.npz")["arr_0"], arrays(tmp_path / "whole.npz")["arr_0"])
    assert not second.exists()


def command(weights, out, *words: str) -> list[str]:
    return [sys.executable, "-m", "zoo.cli.sample", str(weights), "--device", "cpu", "--out", str(out), *words]


SLOW = ("-n", "24", "--batch", "2", "sampler.steps=40")


def test_a_killed_command_goes_on_where_it_was(run, weights, tmp_path):
    out = tmp_path / "out.npz"
    process = subprocess.Popen(command(weights, out, *SLOW), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    parts = Npz(out, Stills())
    deadline = time.monotonic() + 60
    while parts.count(24) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    survived = parts.count(24)
    assert 4 <= survived < 24 and not out.exists(), "it was to be killed in the middle"
    code, said, _ = run(*SLOW)
    assert code == 0 and f"{24 - survived} new" in said
    run(*SLOW, out="whole.npz")
    assert np.array_equal(arrays(out)["arr_0"], arrays(tmp_path / "whole.npz")["arr_0"])


def test_several_processes_make_the_same_file(run, tmp_path):
    code, said, text = run("-n", "16", "--batch", "4", "--gpus", "2")
    assert code == 0 and "error" not in text and "16 new, by 2 processes" in said  # a slow machine says how far it is
    run("-n", "16", "--batch", "16", out="whole.npz")
    assert same(arrays(tmp_path / "out.npz")["arr_0"], arrays(tmp_path / "whole.npz")["arr_0"])


def test_a_mistake_in_several_processes_is_told_once(run, tmp_path):
    code, _, text = run("-n", "4", "--gpus", "2", "sampler.steps=0")
    assert code == 2 and text.count("steps 0") == 1 and "Traceback" not in text
    assert not (tmp_path / "out.npz").exists() and not (tmp_path / "out.npz.parts").exists()


def test_more_gpus_than_there_are_is_refused(weights, tmp_path, capsys):
    code = main([str(weights), "--out", str(tmp_path / "out"), "--gpus", "99", "--device", "auto"])
    assert code == 2 and "GPUs here" in capsys.readouterr().err


def test_blocks_are_dealt_out_whole_and_once():
    dealt = [Shard(i, 3).blocks(22, 4, range(22)) for i in range(3)]
    assert sorted(n for blocks in dealt for block in blocks for n in block) == list(range(22))
    assert Shard().blocks(22, 4, {9, 21}) == [range(8, 12), range(20, 22)]
    with pytest.raises(ZooError, match="at least 1"):
        Shard().blocks(4, 0, {1})


@pytest.mark.parametrize("text", ["1/1", "3", "-1/2", "a/b", "2/0"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(ZooError, match="write I/N"):
        parse_shard(text)


def test_torchrun_s_ranks_are_shards(monkeypatch):
    assert parse_shard(None) == Shard(0, 1)
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert parse_shard(None) == Shard(3, 8) and parse_shard("0/2") == Shard(0, 2)
