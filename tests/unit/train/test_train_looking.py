"""What a run shows: validation, previews, curve, page, metrics, progress."""

from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_runs import losses, trained

from zoo.builder import section
from zoo.errors import BackendError, ZooError
from zoo.loggers.csv import Csv
from zoo.loggers.jsonl import JsonLines, read_records
from zoo.sampling.progress import duration
from zoo.train.curve import draw_curve, smooth, ticks
from zoo.train.feed import Feed
from zoo.train.progress import Progress, sparkline
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Objective
from zoo.train.validate import Validation, constant_loss

CPU = torch.device("cpu")


@pytest.fixture
def assemble(tiny):
    """assemble(batch, "train.clip=1") -> validation, state."""

    def make(batch: int, *overrides: str):
        recipe = tiny(*overrides)
        settings = section(recipe, "train")()
        state, feed = State.start(recipe, settings, Ranks(CPU)), Feed(recipe, settings, Ranks(CPU))
        return Validation(Objective(recipe, state.backbone, "fp32"), lambda: feed.held_out(batch), 1, Ranks(CPU)), state

    return make


def test_validation_does_not_depend_on_the_batch_or_on_when(assemble):
    (first, state), (second, other) = assemble(3), assemble(8)
    a, b, again = first(state), second(other), first(state)
    assert a == again and a.keys() == {"val", "val_ema", "val_ema_0.99", "val_constant", "val_ratio"}
    assert all(a[key] == pytest.approx(b[key], rel=1e-5) for key in a)


def test_validation_of_fresh_averages_is_that_of_the_weights(assemble):
    validate, state = assemble(8)
    record = validate(state)
    assert record["val"] == record["val_ema"] and state.backbone.training


def test_the_best_constant_for_noise_has_loss_1(assemble):
    validate, state = assemble(8, "train.val_images=1000")
    assert validate(state)["val_constant"] == pytest.approx(1, abs=0.15)


def test_the_best_constant_for_images_knows_the_class(assemble):
    validate, state = assemble(8, "process.predict=x0", "train.val_images=1000")
    with_class = validate(state)["val_constant"]
    images = torch.cat([batch.images for batch in validate.batches()])
    rest = (images.sum(0) - images) / (len(images) - 1)
    without = (images - rest).square().mean().item()
    validate.objective.backbone = torch.nn.Identity()
    blind = constant_loss(validate.objective, validate.batches, validate.draw)
    assert blind == pytest.approx(without, rel=1e-5) and with_class < blind


def test_previews_appear_and_change(tiny, tmp_path):
    looking = ("train.preview_every=2", "train.val_every=2", "train.ema=[0.0]", "train.warmup=0")
    trained(tiny("train.steps=4", *looking), tmp_path)
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["step-00000002.png", "step-00000004.png", "strip.png"]
    first, second = (Image.open(tmp_path / "samples" / name) for name in names[:2])
    assert first.size == (18, 18) and first.tobytes() != second.tobytes()
    page = (tmp_path / "index.html").read_text()
    assert all(name in page for name in (*names, "loss.png", "val_ema")) and (tmp_path / "loss.png").exists()
    used = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", page)  # of the folder itself: no server, no network
    assert len(used) == 8 and all((tmp_path / name).is_file() for name in used)
    assert not re.search(r"https?:|<script|@import|url\(", page)


def test_previews_repeat(tiny, tmp_path):
    for name in "ab":
        trained(tiny("train.steps=2", "train.preview_every=2", f"train.val_every={'ab'.index(name)}"), tmp_path / name)
    a, b = ((tmp_path / name / "samples/step-00000002.png").read_bytes() for name in "ab")
    assert a == b


def test_a_preview_sampler_that_does_not_fit_is_refused_before_training(tiny, tmp_path):
    with pytest.raises(ZooError, match="dpm_solver"):
        trained(tiny("train.preview_sampler={use: dpm_solver, steps: 0}", "train.preview_every=2"), tmp_path)
    assert losses(tmp_path) == []


def test_metrics_can_be_parsed(tiny, tmp_path):
    trained(tiny("train.steps=7", "train.val_every=2"), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 7]
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows if row["loss"]] == [line["loss"] for line in lines if "loss" in line]
    assert lines[-1]["images"] == 42 and lines[1]["lr"] == pytest.approx(1e-3 * 2 / 5)


def test_logs_drop_what_came_after_the_start_and_a_torn_line(tmp_path):
    for make in (JsonLines, Csv):
        log = make(tmp_path, 0)
        for step in (1, 2, 3):
            log.log(step, {"loss": step / 2, **({"val": 1.0} if step == 2 else {})})
        log.close()
    (tmp_path / "metrics.jsonl").open("a").write('{"step": 4, "lo')
    for make in (JsonLines, Csv):
        log = make(tmp_path, 2)
        log.log(3, {"loss": 9.0})
        log.close()
    assert read_records(tmp_path / "metrics.jsonl") == [
        {"step": 1, "loss": 0.5}, {"step": 2, "loss": 1.0, "val": 1.0}, {"step": 3, "loss": 9.0}]  # fmt: skip
    assert (tmp_path / "metrics.csv").read_text() == "step,loss,val\n1,0.5,\n2,1.0,1.0\n3,9.0,\n"


def test_tensorboard_writes_events(tiny, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained(tiny("train.steps=3", "train.log_every=1", "train.loggers=[jsonl, tensorboard]"), tmp_path)
    trained(tiny("train.steps=5", "train.log_every=1", "train.loggers=[jsonl, tensorboard]"), tmp_path, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    assert shown == [(r["step"], pytest.approx(r["loss"], rel=1e-6)) for r in losses(tmp_path)] and len(shown) == 5


def test_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    from zoo.loggers.tensorboard import TensorBoard

    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(BackendError, match="pip install tensorboard"):
        TensorBoard(tmp_path, 0)


def test_the_curve_of_nothing_is_no_file(tmp_path):
    assert draw_curve([], tmp_path / "loss.png", "x") is None
    assert draw_curve([{"step": 1, "loss": math.nan}], tmp_path / "loss.png", "x") is None


@pytest.mark.parametrize("records", [
    [{"step": 1, "loss": 0.5}],
    [{"step": s, "loss": 1 / s, "val": 1.1 / s, "val_ema": 1.2 / s, "val_constant": 1.0} for s in range(1, 200)],
    [{"step": s, "loss": 0.5} for s in (10**6, 10**6 + 1)],
])  # fmt: skip
def test_curves_are_drawn(records, tmp_path):
    draw_curve(records, tmp_path / "loss.png", "a title")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.size == (880, 480) and len(picture.convert("RGB").getcolors(10**6)) > 20


@pytest.mark.parametrize(("low", "high"), [
    (1, 10), (0.02, 1.1), (0.91, 0.99), (50, 200000), (1, 1.0001), (4, 5), (1e-6, 1e6),
])  # fmt: skip
def test_ticks_are_round_and_inside(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 13 and all(low <= t <= high * (1 + 1e-9) for t in found) and found == sorted(found)


def test_smoothing_keeps_a_constant():
    assert all(loss == pytest.approx(0.3) for _, loss in smooth([(s, 0.3) for s in range(1, 50)]))


def test_durations_and_sparklines():
    assert [duration(s) for s in (0, 59, 61, 3600 * 5 + 180, 86400 * 2 + 3600, 86400 * 322593, math.nan)] == [
        "0 s", "59 s", "1 min 1 s", "5 h 3 min", "2 d 1 h", "883 years", "?"]  # fmt: skip
    assert sparkline([1, 10, 100]) == "▁▄█" or sparkline([1, 10, 100]) == "▁▅█"
    assert sparkline([]) == "" and len(sparkline([1.0, 1.0, math.nan])) == 2


def test_a_terminal_gets_a_live_line_and_a_file_plain_ones(tiny):
    recipe = tiny("train.save_every=5")
    settings = section(recipe, "train")()
    state = State.start(recipe, settings, Ranks(CPU))
    for terminal in (True, False):
        out = io.StringIO()
        with Progress(settings, Console(file=out, force_terminal=terminal, width=160, highlight=False)) as screen:
            screen.usage = lambda speed: {"mfu": 0.16, "memory_gib": 5.62}
            screen.mark(state)
            state.step = 2
            screen.show(state, {"loss": 0.25, **screen.measure(state)})
            state.step = 3
            screen.show(state, {"loss": 0.5, **screen.measure(state)})
            screen.say("[saved] it")
        text = out.getvalue()
        for shown in ("0.5", "images/s", "MFU 16%", "5.6 GiB", " left", "[saved] it"):
            assert shown in text, shown
        assert ("saves in 2" in text) == terminal and ("\u2581\u2588" in text) == terminal  # the curve: low, high
        assert ("\x1b[" in text) == terminal
        state.step = 0


def test_a_long_title_stays_out_of_the_legend(tmp_path):
    records = [{"step": n, "loss": 1 / n, "val": 2 / n, "val_ema": 1.5 / n, "val_constant": 1.0} for n in (1, 5, 25)]
    for name, title in {"none": "", "long": "a very long title, " * 9}.items():
        draw_curve(records, tmp_path / f"{name}.png", title)
    none, long = (np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("none", "long"))
    changed = np.flatnonzero((none != long).any(2).any(0))
    legend = np.flatnonzero((none[:40] < 200).any(2).any(0))
    assert changed.size and changed.max() < legend.min()
