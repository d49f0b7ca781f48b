"""Processes that are killed, disks that refuse, signals at any time: nothing that was saved is lost."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
import traceback
from pathlib import Path

import pytest
import torch
from tiny_runs import losses, same, tensors, trained

from zoo.errors import CheckpointError
from zoo.train import checkpoint
from zoo.train.stop import SIGNALS

ROOT = Path(__file__).parents[3]
FILES = {name: {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3)} for name in ("model", "ema", "optim")}
CALLS = {os: ("fsync", "replace", "open", "mkdir", "close", "unlink")}


def killed_at(cut: int, root: Path, recipe) -> bool:
    """Save in a child process that dies, as by kill -9, at system call number `cut`; whether it came that far."""
    child = os.fork()
    if child == 0:
        seen = 0

        def counted(plain):
            def call(*arguments, **options):
                nonlocal seen
                seen += 1
                if seen > cut:
                    os._exit(9)
                return plain(*arguments, **options)

            return call

        for module, names in CALLS.items():
            for name in names:
                setattr(module, name, counted(getattr(module, name)))
        plain_write = checkpoint.save_weights

        def torn(path, *rest):  # half of a file, between two writes
            nonlocal seen
            seen += 1
            if seen > cut:
                Path(path).write_bytes(b"half of a file")
                os._exit(9)
            plain_write(path, *rest)

        checkpoint.save_weights = torn
        checkpoint.save(root, recipe, 2, 12, FILES, {"micro": 6})
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def test_kill_9_at_any_system_call_of_a_save_leaves_a_valid_checkpoint(tiny, tmp_path):
    checkpoint.save(tmp_path, tiny(), 1, 6, FILES, {"micro": 6})
    cut = found_old = found_new = 0
    while killed_at(cut, tmp_path, tiny()):
        newest, manifest, refused = checkpoint.newest(tmp_path)
        assert manifest["step"] in (1, 2) and not refused
        found_old, found_new = found_old + (manifest["step"] == 1), found_new + (manifest["step"] == 2)
        if newest.name.endswith("2"):
            checkpoint.shutil.rmtree(newest)
        checkpoint.sweep(tmp_path)
        assert len(list(tmp_path.iterdir())) == 1
        cut += 1
    print(f"{cut} places")
    assert cut >= 40 and found_old >= cut - 4 and found_new  # the new one is there from the rename on


@pytest.mark.parametrize("number", [5, 13, 28, 30])  # EIO, EACCES, ENOSPC, EROFS
@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_disk_that_refuses_costs_one_checkpoint(tiny, tmp_path, monkeypatch, capsys, number, function):
    recipe, plain = tiny("train.steps=6", "train.save_every=2", "train.log_every=6", "train.ema=[]"), checkpoint.save

    def save(root, recipe, step, *rest):
        with monkeypatch.context() as patch:
            if step == 4:
                patch.setattr(os, function, lambda *a: (_ for _ in ()).throw(OSError(number, os.strerror(number))))
            return plain(root, recipe, step, *rest)

    monkeypatch.setattr(checkpoint, "save", save)
    assert "finished 6" in trained(recipe, tmp_path)
    said = capsys.readouterr().out
    assert said.count("NOT SAVED at step 4") == 1 and os.strerror(number) in said
    assert [p.name for p in checkpoint.steps(tmp_path / "checkpoints")] == ["step-00000006", "step-00000002"]


def test_a_disk_that_refuses_the_last_save_is_an_error_with_the_older_one_intact(tiny, tmp_path, monkeypatch):
    plain = checkpoint.save

    def save(root, recipe, step, *rest):
        if step == 4:
            raise OSError(28, "No space left on device")
        return plain(root, recipe, step, *rest)

    monkeypatch.setattr(checkpoint, "save", save)
    with pytest.raises(CheckpointError, match="No space left"):
        trained(tiny("train.steps=4", "train.save_every=2"), tmp_path)
    monkeypatch.undo()
    trained(tiny("train.steps=4", "train.save_every=2"), tmp_path, resume=True)
    trained(tiny("train.steps=4"), tmp_path / "whole")
    assert same(tensors(tmp_path, 4), tensors(tmp_path / "whole", 4))


def test_signals_at_random_times_always_save_and_resume_exactly(tiny, tmp_path, trials):
    """During updates, validations, previews and saves."""
    looking = ("train.val_every=2", "train.preview_every=4", "train.save_every=3", "train.log_every=1",
               "train.preview_sampler={use: dpm_solver, steps: 2}", "train.preview_count=2")  # fmt: skip
    recipe, chance = tiny("train.steps=16", *looking), random.Random(0)
    trained(recipe, tmp_path / "first")  # after which everything is loaded and compiled
    began = time.monotonic()
    trained(recipe, tmp_path / "whole")
    took, whole = time.monotonic() - began, tensors(tmp_path / "whole", 16)
    stopped = 0
    for trial in range(trials(60)):
        folder, number = tmp_path / f"parts{trial}", chance.choice(list(SIGNALS))
        timer = threading.Timer(chance.uniform(0.3, 0.7) * took, os.kill, (os.getpid(), number))
        before = signal.signal(number, lambda *a: None)  # where the run has ended before
        timer.start()
        said = trained(recipe, folder)
        timer.join()
        signal.signal(number, before)
        stopped += "stopped by" in said
        if "stopped by" in said:
            step = int(said.partition(" at step ")[2].partition(";")[0])
            assert checkpoint.newest(folder / "checkpoints")[1]["step"] == step
            trained(recipe, folder, resume=True)
        assert same(tensors(folder, 16), whole)
        curve = lambda at: [r["loss"] for r in losses(at) if "loss" in r]  # noqa: E731
        assert curve(folder) == curve(tmp_path / "whole")
    assert stopped  # how many depends on how busy the machine is


def test_a_run_that_is_killed_again_and_again_ends_like_one_that_was_not(tiny, tmp_path, trials):
    """2,000 updates, and kill -9 fifty times after random parts of a second, start and saves included."""
    steps, most, kills, chance = trials(2000), trials(50), 0, random.Random(1)
    recipe = tiny(f"train.steps={steps}", "train.save_every=10", "train.keep=2")
    while True:
        child = os.fork()
        if child == 0:
            try:
                trained(recipe, tmp_path / "killed", resume=True)
                os._exit(0)
            except BaseException:
                (tmp_path / "said").write_text(traceback.format_exc())
                os._exit(1)
        if kills < most:
            time.sleep(chance.uniform(0.05, 0.8))
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            break
        assert code == -signal.SIGKILL, (tmp_path / "said").read_text()
        kills += 1
    trained(recipe, tmp_path / "whole")
    assert kills >= most / 2 and same(tensors(tmp_path / "killed", steps), tensors(tmp_path / "whole", steps))
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")


def test_memory_does_not_grow(tiny, tmp_path, trials):
    from resource import RUSAGE_SELF, getrusage

    from zoo.train.step import Update

    steps, marks, plain = max(trials(500), 60), {}, Update.__call__

    def watched(self, state, batch):
        plain(self, state, batch)
        marks[state.step] = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    Update.__call__ = watched
    try:
        often = [f"train.{name}_every={steps // 10}" for name in ("val", "preview", "save")]
        trained(tiny(f"train.steps={steps}", *often, "train.keep=1"), tmp_path)
    finally:
        Update.__call__ = plain
    assert getrusage(RUSAGE_SELF).ru_maxrss > 0
    growth = (marks[steps - 1] - marks[steps // 5 + 1]) / 2**20
    assert growth < 20, f"{growth:.1f} MiB"
