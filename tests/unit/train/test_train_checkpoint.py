"""A checkpoint is whole or not there, whatever happens while it is written and afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import socket

import pytest
import torch

from zoo.errors import CheckpointError, ZooError
from zoo.train import checkpoint
from zoo.train.lock import Lock

FILES = {
    "model": {"w": torch.arange(6.0).reshape(2, 3)},
    "ema": {"w": torch.ones(2, 3)},
    "optim": {"step/w": torch.tensor(3.0)},
}


@pytest.fixture
def save(tiny, tmp_path):
    return lambda step: checkpoint.save(tmp_path, tiny(), step, step * 6, FILES, {"micro": 6})


def test_the_manifest_accounts_for_every_file(save, tiny):
    folder = save(12)
    assert folder.name == "step-00000012"
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    assert {f["name"] for f in manifest["files"]} == {p.name for p in folder.iterdir()} - {"MANIFEST.json"}
    assert manifest["recipe"] == tiny().hash and manifest["images"] == 72 and manifest["scalars"] == {"micro": 6}
    assert checkpoint.verify(folder) == manifest


def test_every_flipped_bit_and_every_truncation_is_found(save, tmp_path, trials):
    save(1), save(2)
    folder, chance = tmp_path / "step-00000002", random.Random(0)
    for path in sorted(p for p in folder.iterdir() if p.name != "MANIFEST.json"):
        whole = path.read_bytes()
        broken = [whole[: chance.randrange(len(whole))], bytes(len(whole))]
        for _ in range(trials(1000)):
            bits = bytearray(whole)
            bits[chance.randrange(len(bits))] ^= 1 << chance.randrange(8)
            broken.append(bytes(bits))
        for content in broken:
            path.write_bytes(content)
            found, _, refused = checkpoint.newest(tmp_path)
            assert found.name == "step-00000001" and path.name in refused[0]
        path.write_bytes(whole)
    assert checkpoint.newest(tmp_path)[0] == folder


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": []}', b'{"files": [{"name": "model.safetensors"}]}'])
def test_a_broken_manifest_is_refused(save, tmp_path, content):
    folder = save(1)
    (folder / "MANIFEST.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"no checkpoint is usable: .*manifest|MANIFEST"):
        checkpoint.newest(tmp_path)


def test_a_crash_at_any_point_of_a_save_leaves_the_older_checkpoint(save, tmp_path, monkeypatch):
    save(1)
    calls, survived = count_calls(monkeypatch, lambda: save(2), None), 0
    checkpoint.shutil.rmtree(tmp_path / "step-00000002")
    assert calls > 8
    for cut in range(calls):
        with pytest.raises(KeyboardInterrupt):
            count_calls(monkeypatch, lambda: save(2), cut)
        found, _, _ = checkpoint.newest(tmp_path)
        survived += found.name == "step-00000001"
        checkpoint.sweep(tmp_path)
        checkpoint.shutil.rmtree(tmp_path / "step-00000002", ignore_errors=True)
    assert survived >= calls - 2  # after the last rename the new one is there already


def count_calls(monkeypatch, action, cut: int | None) -> int:
    """Calls of fsync and replace during the action; number `cut` is a crash, and nothing is cleaned up."""
    calls = 0

    def counted(plain):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if cut is not None and calls == cut + 1:
                raise KeyboardInterrupt
            return plain(*arguments)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", counted(os.fsync))
        patch.setattr(os, "replace", counted(os.replace))
        if cut is not None:
            patch.setattr(checkpoint.shutil, "rmtree", lambda *a, **k: None)
        action()
    return calls


def test_the_oldest_go_only_when_the_newest_is_good(save, tmp_path):
    for step in (1, 2, 3):
        save(step)
    (tmp_path / "step-00000003/model.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError):
        checkpoint.prune(tmp_path, 1)
    assert len(checkpoint.steps(tmp_path)) == 3
    save(4)
    checkpoint.prune(tmp_path, 2)
    assert [p.name for p in checkpoint.steps(tmp_path)] == ["step-00000004", "step-00000003"]


def test_the_best_stays_beside_the_newest(tiny, tmp_path):
    for step, val in ((1, 0.5), (2, 0.2), (3, 0.4), (4, None), (5, float("nan"))):
        checkpoint.save(tmp_path, tiny(), step, step * 6, FILES, {"micro": 6}, val)
        checkpoint.prune(tmp_path, 1, best=True)
    assert [p.name[-1] for p in checkpoint.steps(tmp_path)] == ["5", "2"]


def test_training_keeps_the_best_it_measured(tiny, tmp_path):
    from tiny_runs import trained

    trained(tiny("train.steps=6", "train.save_every=2", "train.val_every=2", "train.keep=1", "train.keep_best=true"),
            tmp_path)  # fmt: skip
    vals = {int(p.name[5:]): json.loads((p / "MANIFEST.json").read_text())["val"]
            for p in (tmp_path / "checkpoints").iterdir()}  # fmt: skip
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    measured = {line["step"]: line["val_ema"] for line in lines if "val_ema" in line}
    assert vals == {step: measured[step] for step in {6, min(measured, key=measured.get)}}


def test_a_full_disk_does_not_stop_training_but_is_told(tiny, tmp_path, monkeypatch, capsys):
    from tiny_runs import trained

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_weights", full)
    with pytest.raises(CheckpointError, match="No space left"):
        trained(tiny("train.steps=4", "train.save_every=2"), tmp_path)
    assert capsys.readouterr().out.count("NOT SAVED") == 2
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_what_a_killed_run_left_half_written_is_swept(tiny, tmp_path):
    from tiny_runs import trained

    names = (".loss.png.1.tmp", "samples/.strip.png.1.tmp", "checkpoints/step-00000001.tmp-1/model.safetensors")
    torn = [tmp_path / name for name in names]
    for path in torn:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    trained(tiny("train.steps=1"), tmp_path, resume=True)
    assert not any(path.exists() for path in torn)


def test_a_locked_folder_is_refused(tmp_path):
    with Lock(tmp_path):
        (tmp_path / "run.lock").write_text(json.dumps({"pid": os.getppid(), "host": Lock(tmp_path).mine["host"]}))
        with pytest.raises(ZooError, match=rf"process {os.getppid()} trains here.*delete"), Lock(tmp_path):
            pass
    assert not (tmp_path / "run.lock").exists()


def test_a_lock_of_another_machine_is_respected(tmp_path):
    (tmp_path / "run.lock").write_text('{"pid": 1, "host": "elsewhere"}')
    with pytest.raises(ZooError, match="on elsewhere"), Lock(tmp_path):
        pass


@pytest.mark.parametrize("content", ['{"pid": 4194304, "host": "HOST"}', "", "torn"])
def test_a_stale_lock_is_taken_over(tmp_path, content):
    (tmp_path / "run.lock").write_text(content.replace("HOST", Lock(tmp_path).mine["host"]))
    with Lock(tmp_path):
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", [None, '{"pid": 4194304, "host": "HOST"}'], ids=["free", "stale"])
def test_of_many_that_come_at_once_one_gets_the_lock(tmp_path, content):
    """Processes that start together, by an array job for instance, and find no lock or that of a dead one."""
    for attempt in range(12):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        if content:
            (folder / "run.lock").write_text(content.replace("HOST", socket.gethostname()))
        (ready, go), (heard, say) = os.pipe(), os.pipe()
        children = [_takes(folder, ready, say) for _ in range(6)]
        os.write(go, b"x" * 6)
        answers = b"".join(os.read(heard, 1) for _ in children)
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert sorted(answers) == sorted(b"-----+"), attempt


def _takes(folder, ready: int, say: int) -> int:
    """A process that waits for a byte, tries, says whether it got the lock, and stays."""
    if child := os.fork():
        return child
    os.read(ready, 1)
    try:
        Lock(folder).__enter__()
        os.write(say, b"+")
    except BaseException as error:
        os.write(say, b"-" if isinstance(error, ZooError) else b"!")
    while True:
        signal.pause()
