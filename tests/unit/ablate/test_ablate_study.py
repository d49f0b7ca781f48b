"""zoo-ablate as it is typed: what is trained, what is not, what it leaves behind."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from PIL import Image

from zoo.ablate import launch
from zoo.ablate import task as tasks
from zoo.cli.ablate import main, parser
from zoo.cli.ablation import work
from zoo.train.step import Objective, Update

ROOT = Path(__file__).parents[3]
QUICK = ["--metrics", "none", "--device", "cpu", "--shown", "4"]


@pytest.fixture(autouse=True)
def no_page(monkeypatch):
    """The page of a run, redrawn at every validation, is tested where it belongs."""
    monkeypatch.setattr("zoo.train.loop.write_page", lambda *given: None)


@pytest.fixture
def trained(monkeypatch):
    """The names of the run folders that were trained, in order."""
    names, plain = [], tasks.train

    def counted(recipe, folder, **options):
        names.append(Path(folder).name)
        return plain(recipe, folder, **options)

    monkeypatch.setattr(tasks, "train", counted)
    return names


def ablate(recipe_file, folder, *words) -> int:
    return main([str(recipe_file), *words, *QUICK, "--out", str(folder)])


def rows(folder: Path) -> dict[str, dict]:
    return {row["row"]: row for row in json.loads((folder / "results.json").read_text())["rows"]}


def test_help_has_examples_and_needs_no_torch():
    code = "import sys; from zoo.cli.ablate import parser; parser().format_help(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n" and "zoo-ablate --drop padding_tokens" in parser().format_help()


def test_a_study_leaves_table_numbers_and_pictures(recipe_file, tmp_path, capsys):
    assert ablate(recipe_file, tmp_path, "--table", "4", "--seeds", "2", "--scale", "2") == 0
    said = capsys.readouterr().out
    assert said.index("skip: long_concat -> none") < said.index("== full")  # first what differs, then the work
    found = rows(tmp_path)
    assert list(found) == ["full", "-long_skip"] and [r["published"] for r in found.values()] == [2.5, 6.5]
    assert found["full"]["parameters"] > found["-long_skip"]["parameters"]
    assert found["-long_skip"]["figures"]["val"]["doubt"] > 0 and len(found["full"]["curves"]) == 2
    table = (tmp_path / "table.md").read_text()
    assert "2 training seeds" in table and "not the same protocol" in table and "| 6.5 |" in table
    lines = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert float(lines[1]["difference"]) == pytest.approx(found["-long_skip"]["figures"]["val"]["difference"])
    sizes = {}
    for name in ("study", "samples", "samples-2x"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            sizes[name] = picture.size
    assert all(width > 100 for width, _ in sizes.values())


def test_the_loss_of_a_row_is_the_one_that_training_would_measure(recipe_file, tmp_path):
    ablate(recipe_file, tmp_path, "--drop", "long_skip", "train.seed=0")  # whose validation has the same noise
    figures = {label: row["figures"]["val"]["mean"] for label, row in rows(tmp_path).items()}
    for label, row in rows(tmp_path).items():
        assert figures[label] == pytest.approx(row["curves"][0][-1][1], rel=1e-5)


def test_a_second_call_repeats_nothing_and_adds_what_is_new(recipe_file, tmp_path, trained):
    ablate(recipe_file, tmp_path, "--drop", "long_skip")
    assert len(trained) == 2
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "results").iterdir()}
    ablate(recipe_file, tmp_path, "--drop", "long_skip", "--set", "wide")
    assert [name[:4] for name in trained[2:]] == ["wide"]
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "results").iterdir()}
    assert before.items() < after.items() and len(after) == 3


def test_rows_of_one_hash_run_once(recipe_file, tmp_path, trained):
    ablate(recipe_file, tmp_path, "--drop", "long_skip", "--set", "backbone.skip=none", "--set", "backbone.depth=3")
    assert len(trained) == 2 and len(list((tmp_path / "results").iterdir())) == 2
    found = rows(tmp_path)
    assert list(found) == ["full", "-long_skip", "skip=none", "depth=3"]
    assert found["-long_skip"]["figures"] == found["skip=none"]["figures"]
    assert found["depth=3"]["figures"]["val"]["difference"] == 0


def test_rows_that_only_draw_otherwise_share_their_weights(recipe_file, tmp_path, trained):
    ablate(recipe_file, tmp_path, "--set", "sampler.steps=2", "--set", "sampler=unipc")
    assert len(trained) == 1
    assert len(list((tmp_path / "samples").iterdir())) == 3 == len({p.read_bytes() for p in
                                                                     (tmp_path / "samples").iterdir()})  # fmt: skip


def test_a_stopped_study_goes_on_where_it_was(recipe_file, tmp_path, trained, monkeypatch, capsys):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert ablate(recipe_file, whole, "--drop", "long_skip") == 0
    done, plain = [], Update.__call__

    def interrupted(self, state, batch):
        done.append(state.step)
        if len(done) == 9:  # the fourth update of the second row
            signal.raise_signal(signal.SIGINT)
        plain(self, state, batch)

    trained.clear()
    monkeypatch.setattr(Update, "__call__", interrupted)
    assert ablate(recipe_file, stopped, "--drop", "long_skip") == 130
    assert len(list((stopped / "results").iterdir())) == 1 and not (stopped / "results.json").exists()
    monkeypatch.setattr(Update, "__call__", plain)
    trained.clear()
    assert ablate(recipe_file, stopped, "--drop", "long_skip") == 0
    assert [name.split("-s0")[0] for name in trained] == ["long_skip"] and "continues from" in capsys.readouterr().out
    assert {k: r["figures"] for k, r in rows(stopped).items()} == {k: r["figures"] for k, r in rows(whole).items()}


KILLED = """
import os, signal, sys
from zoo.cli.ablate import main
from zoo.train import loop
from zoo.train.step import Update

done, plain, loop.write_page = [], Update.__call__, lambda *given: None

def dying(self, state, batch):
    done.append(state.step)
    if len(done) == 9:  # the third update of the second row, behind its first checkpoint
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, state, batch)

Update.__call__ = dying
main(sys.argv[1:])
"""


def test_a_killed_study_goes_on_too(recipe_file, tmp_path, capsys, trained):
    words = [str(recipe_file), "--drop", "long_skip", *QUICK, "--out", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=ROOT, stdout=subprocess.DEVNULL)
    assert done.returncode == -signal.SIGKILL and len(list((tmp_path / "results").glob("*.json"))) == 1
    assert ablate(recipe_file, tmp_path, "--drop", "long_skip") == 0
    assert [name.split("-s0")[0] for name in trained] == ["long_skip"] and "continues from" in capsys.readouterr().out
    assert set(rows(tmp_path)) == {"full", "-long_skip"}


def test_rows_meet_the_same_images_noise_and_times(recipe_file, tmp_path, monkeypatch):
    met: dict[str, list] = {}
    plain = Objective.__call__

    def listening(self, x0, labels, draw, **options):
        skips = any(block.skip is not None for block in self.backbone.blocks)
        met.setdefault("full" if skips else "without", []).append((x0.clone(), draw.t.clone(), draw.eps.clone()))
        return plain(self, x0, labels, draw, **options)

    monkeypatch.setattr(Objective, "__call__", listening)
    ablate(recipe_file, tmp_path, "--drop", "long_skip")
    assert len(met["full"]) == len(met["without"]) >= 6
    for one, other in zip(met["full"], met["without"]):
        assert all(torch.equal(a, b) for a, b in zip(one, other))


def test_metrics_come_from_the_evaluator_with_paired_noise(recipe_file, tmp_path, monkeypatch):
    asked = []

    def evaluate(source, **options):
        asked.append((Path(source).name.split("-s")[0], options["seed"], options["count"], tuple(options["overrides"])))
        worse = 1.0 if "long" in source else 0.0
        return types.SimpleNamespace(metrics={"fd_stand_in": 10 + worse + 0.1 * options["seed"]},
                                     protocol={"extractor": "stand-in"})  # fmt: skip

    monkeypatch.setattr("zoo.eval.api.evaluate", evaluate)
    monkeypatch.setattr("zoo.cli.ablation.ready", lambda *given: None)
    words = ["--metrics", "fd", "--count", "20", "--draws", "3", "--device", "cpu", "--out", str(tmp_path)]
    assert main([str(recipe_file), "--drop", "long_skip", "--set", "sampler.steps=3", *words]) == 0
    assert [(name, seed) for name, seed, *_ in asked] == [(n, s) for n in ("full", "full", "long_skip")
                                                          for s in range(3)]  # fmt: skip
    assert any("steps: 3" in text for text in asked[3][3]) and {count for *_, count, _ in asked} == {20}
    found = rows(tmp_path)["-long_skip"]
    assert found["figures"]["fd_stand_in"]["difference"] == pytest.approx(1.0)
    assert found["figures"]["fd_stand_in"]["doubt"] == pytest.approx(0.0, abs=1e-9)
    assert found["measured_by"] == {"extractor": "stand-in"}


@pytest.mark.parametrize(("words", "message"), [
    (["--metrics", "fdd"], "did you mean 'fd'"),
    (["--metrics", "fid"], "FID is the name for the published Inception network"),
    (["--extractor", "efficientnet"], "did you mean 'efficientnet_lite0'"),
    (["--reference", "lost.npz"], "lost.npz"),
])  # fmt: skip
def test_metrics_that_cannot_be_computed_are_told_before_anything_is_trained(recipe_file, tmp_path, capsys, words,
                                                                             message):  # fmt: skip
    pytest.importorskip("efficientnet_lite_pytorch")
    command = [str(recipe_file), "--drop", "long_skip", *words, "--device", "cpu", "--out", str(tmp_path / "a")]
    assert main(command) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "a").exists()


def test_losses_of_another_kind_are_not_compared(recipe_file, tmp_path):
    ablate(recipe_file, tmp_path, "--set", "loss=min_snr")
    assert rows(tmp_path)["loss=min_snr"]["figures"]["val"]["difference"] is None


def test_samplers_that_do_not_fit_the_process_are_left_out_of_a_sweep(recipe_file, tmp_path, capsys):
    assert ablate(recipe_file, tmp_path / "a", "--sweep", "sampler", "--plan") == 0
    said = capsys.readouterr().out
    assert "left out: sampler=ddim" in said and "sampler=unipc: sampler: dpm_solver -> unipc" in said
    assert "results from 1 trained models" in said


def test_two_devices_share_the_rows(recipe_file, tmp_path, capsys):
    words = ["--drop", "long_skip", "--metrics", "none", "--device", "cpu,cpu", "--shown", "2", "--out", str(tmp_path)]
    assert main([str(recipe_file), *words]) == 0
    said = capsys.readouterr().out
    assert said.count("starts on cpu") == 2 and said.count("is done") == 2 and len(rows(tmp_path)) == 2


@pytest.mark.parametrize(("visible", "expected"), [(None, ["0", "1", "2"]), ("4,6,7", ["4", "6", "7"])])
def test_every_gpu_gets_a_row_of_its_own(recipe_file, tmp_path, monkeypatch, visible, expected):
    """Three GPUs that are none: the rows that are given to them are worked on here."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    started, busy = [], set()

    class Process:
        """Done with its row at once, and heard to be so at the third question."""

        def __init__(self, command, env, **options):
            self.place, self.asked, self.returncode = env["CUDA_VISIBLE_DEVICES"], 0, 0
            assert command[-1] == "cuda" and self.place not in busy
            started.append(self.place)
            busy.add(self.place)
            work(Path(command[command.index("--task") + 1]), "cpu")

        def poll(self):
            self.asked += 1
            if self.asked < 3:
                return None
            busy.discard(self.place)
            return 0

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(launch, "subprocess", types.SimpleNamespace(Popen=Process))
    words = ["--drop", "long_skip", "--set", "wide", "--set", "backbone.depth=1", "--metrics", "none", "--shown", "2"]
    assert main([str(recipe_file), *words, "--out", str(tmp_path)]) == 0
    assert started[:3] == expected and len(started) == 4 and started[3] in expected
    assert list(rows(tmp_path)) == ["full", "-long_skip", "wide", "depth=1"]


def test_a_row_that_fails_does_not_stop_the_others(recipe_file, tmp_path, capsys):
    assert ablate(recipe_file, tmp_path, "--set", "train.optimizer.lr=1.0e+30", "--set", "wide") == 1
    said = capsys.readouterr().out
    assert "FAILED train.optimizer.lr" in said and set(rows(tmp_path)) == {"full", "wide"}
    assert "Not finished" in (tmp_path / "table.md").read_text()


def test_a_plan_trains_nothing_and_tells_time_and_memory(recipe_file, tmp_path, capsys, trained):
    assert ablate(recipe_file, tmp_path / "a", "--table", "6", "--seeds", "3", "--plan") == 0
    said = capsys.readouterr().out
    assert "GiB" in said and "to go on cpu" in said and "wide" in said
    assert not trained and not (tmp_path / "a").exists()


@pytest.mark.parametrize(("words", "message"), [
    (["--drop", "long_skp"], "did you mean 'long_skip'"),
    (["--set", "wied"], "did you mean 'wide'"),
    (["--set", "backbone.skip=long_conct"], "did you mean 'long_concat'"),
    (["--sweep", "skp"], "did you mean 'skip'"),
    (["--table", "5"], "allowed: 4, 6"),
    (["--set", "sampler=ddim"], "no discrete chain"),
    (["--drop", "long_skip", "--seeds", "0"], "1 or more"),
    (["--drop", "long_skip", "--drop", "long_skip"], "two rows are called"),
    ([], "no row to compare with"),
])  # fmt: skip
def test_a_mistake_is_told_before_anything_is_written(recipe_file, tmp_path, capsys, words, message):
    assert ablate(recipe_file, tmp_path / "a", *words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "a").exists()
