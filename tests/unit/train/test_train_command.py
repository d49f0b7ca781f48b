"""zoo-train as it is typed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_runs import losses, same, tensors, trained

from zoo.cli.train import main, parser

ROOT = Path(__file__).parents[3]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_help_has_examples_and_needs_no_torch():
    code = "import sys; from zoo.cli.train import parser; parser().format_help(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n" and "--resume --max-minutes" in parser().format_help()


def test_explain_names_the_line(recipe_file, capsys):
    assert main([str(recipe_file), "--explain", "train.batch"]) == 0
    said = capsys.readouterr().out
    assert "6" in said and "tiny.yaml" in said and "images an update" in said


def test_a_dry_run_says_what_would_happen_and_writes_nothing(recipe_file, tmp_path, capsys):
    assert main([str(recipe_file), "--dry-run", "--device", "cpu", "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "40 updates of 6 images" in said and "M parameters" in said and "kernels" in said
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("name", "needed"), [
    ("dim_s_cifar", "to be fetched from https://"), ("uvit_l_imagenet64", "data/imagenet: there is no such folder"),
    ("dim_h_imagenet256", "add data={use: latents"), ("bidim_b_video", "latents/ucf101: there are no latents"),
])  # fmt: skip
def test_a_dry_run_needs_no_data_and_fetches_none(name, needed, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "none"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *given, **options: pytest.fail("the network was asked"))
    assert main([name, "--dry-run", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "not here yet" in said and needed in said and "M parameters" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("arguments", "message"), [
    (["no_such_recipe"], "no_such_recipe"),
    (["RECIPE", "train.batsh=3"], "did you mean 'batch'?"),
    (["RECIPE", "train.batch=0"], "train.batch"),
    (["RECIPE", "--device", "quantum"], "quantum"),
    (["RECIPE", "data.path=/nowhere"], "nowhere"),
    (["RECIPE", "data=null"], "names no data"),
    (["RECIPE", "data.holdout=2"], "no images to train on"),
    (["RECIPE", "backbone.conditioning.embed.label.classes=1"], "conditioning.embed.label.classes=2"),
    (["RECIPE", "backbone.width=0"], "backbone.width: 0 is too small"),
    (["RECIPE", "backbone.depth=0"], "backbone.depth: 0 is too small"),
    (["RECIPE", "backbone.patch.size=0"], "backbone.patch.size: 0 is too small"),
    (["RECIPE", "backbone.mixer={use: mamba, state: 0}"], "backbone.mixer.state: 0 is too small"),
    (["RECIPE", "train.optimizer.lr=-1"], "train.optimizer"),
    (["RECIPE", "train.init_from=/nowhere"], "train.init_from"),
    (["RECIPE", "--explain", "train.bath"], "batch"),
    (["RECIPE", "--max-minutes", "-1"], "--max-minutes: -1.0 is too small"),
    (["RECIPE", "--gpus", "0"], "--gpus 0"),
])  # fmt: skip
def test_mistakes_exit_with_2_and_one_message(arguments, message, recipe_file, tmp_path, capsys):
    arguments = [str(recipe_file) if a == "RECIPE" else a for a in arguments]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and "Traceback" not in error
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("out", ["a_file", "a_file/inside"])
def test_a_run_folder_that_cannot_be_one_is_one_message(out, recipe_file, tmp_path, capsys):
    (tmp_path / "a_file").write_text("mine")
    assert main([str(recipe_file), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and out in error and "--out" in error and len(error.splitlines()) == 1
    assert (tmp_path / "a_file").read_text() == "mine"


def test_a_run_folder_continues_in_itself(tiny, tmp_path, capsys):
    trained(tiny("train.steps=3"), tmp_path / "a")
    assert main([str(tmp_path / "a"), "train.steps=6", "--resume", "--device", "cpu"]) == 0
    assert "finished 6 updates" in capsys.readouterr().out
    assert main([str(tmp_path / "a"), "--resume", "--device", "cpu"]) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_ctrl_c_saves_exits_with_0_and_resumes_exactly(recipe_file, tiny, tmp_path):
    command = [sys.executable, "-u", "-m", "zoo.cli.train", str(recipe_file), "train.steps=4000", "--device", "cpu",
               "--out", str(tmp_path / "a")]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=ONE_THREAD, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("step 9/"):
                process.send_signal(signal.SIGINT)
                break
        rest = process.stdout.read()
    assert process.returncode == 0 and "stopped by Ctrl-C at step" in rest
    (saved,) = (tmp_path / "a/checkpoints").iterdir()
    step = int(saved.name[5:])
    assert 9 <= step < 4000
    goal = f"train.steps={step + 6}"
    trained(tiny(goal), tmp_path / "a", resume=True)
    trained(tiny(goal), tmp_path / "b")
    assert same(tensors(tmp_path / "a", step + 6), tensors(tmp_path / "b", step + 6))
    assert losses(tmp_path / "a") == losses(tmp_path / "b")


def test_two_trainers_cannot_share_a_folder(recipe_file, tiny, tmp_path):
    command = [sys.executable, "-u", "-m", "zoo.cli.train", str(recipe_file), "train.steps=100000", "--device", "cpu",
               "--out", str(tmp_path)]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, env=ONE_THREAD, stdout=subprocess.DEVNULL) as first:
        deadline = time.monotonic() + 60
        while not (tmp_path / "run.lock").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert main([str(recipe_file), "--out", str(tmp_path)]) == 2
        first.kill()
    assert "finished" in trained(tiny("train.steps=1"), tmp_path, resume=True)
