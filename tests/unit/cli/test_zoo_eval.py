"""The commands zoo-eval and zoo-data stats, from the outside."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from zoo.cli.data_stats import stats
from zoo.cli.eval import main, parse_share, split_settings
from zoo.errors import ZooError
from zoo.eval import Result

PLUGIN = '''
"""Mean colours."""

import torch
from torch import nn

from zoo.registry import register


@register("extractor", "colours_for_cli")
class Colours(nn.Module):
    """Means of red, green and blue in four quarters."""

    name, resize, streams = "colours", "none", ("features",)

    def __init__(self, *, power: float = 1.0):
        super().__init__()
        self.power = power
        self.register_buffer("of", torch.tensor(power))

    def forward(self, pixels, streams):
        return {"features": torch.nn.functional.adaptive_avg_pool2d(pixels.double() ** self.power, 2).flatten(1)}
'''


COMMON = ["--extractor", "colours_for_cli", "--device", "cpu", "--plugin", "colours.py"]


@pytest.fixture(scope="module")
def plugin(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("plugin") / "colours.py"
    path.write_text(PLUGIN)
    return str(path)


@pytest.fixture
def place(tmp_path, monkeypatch, plugin):
    """A folder with two folders of pictures, `a` darker than `b`; the commands know where the plug-in is."""
    COMMON[-1] = plugin
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    for name, low in (("a", 0), ("b", 100)):
        (tmp_path / name).mkdir()
        for i in range(30):
            pixels = np.random.default_rng([low, i]).integers(low, 200, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_pictures_are_measured_and_the_result_is_written(place, capsys):
    assert main(["a", "--reference", "b", "--metrics", "fd,pr", *COMMON]) == 0
    shown = capsys.readouterr().out
    result = Result.load(place / "eval.json")
    assert set(result.metrics) == {"FD-colours", "precision-colours", "recall-colours"}
    assert "FD-colours" in shown and "30 images" in shown and "eval.json" in shown
    assert result.protocol["reference"]["source"] == "b" and result.protocol["count"] == 30


def test_a_second_call_answers_from_the_cache(place, capsys):
    for _ in range(2):
        assert main(["a", "--reference", "b", *COMMON]) == 0
    assert capsys.readouterr().err.count("found the statistics") == 2
    assert not (place / "eval-1.json").exists()


def test_a_result_of_another_protocol_is_kept(place):
    assert main(["a", "--reference", "b", *COMMON]) == 0
    first = Result.load(place / "eval.json")
    assert main(["a", "--reference", "b", "-n", "20", *COMMON]) == 0
    assert Result.load(place / "eval-1.json") == first
    assert Result.load(place / "eval.json").protocol["count"] == 20


def test_more_figures_of_the_same_protocol_are_added(place):
    for metrics in ("pr", "fd"):
        assert main(["a", "--reference", "b", "--metrics", metrics, *COMMON]) == 0
    result = Result.load(place / "eval.json")
    assert set(result.metrics) == {"FD-colours", "precision-colours", "recall-colours"}
    assert set(result.protocol["metrics"]) == {"fd", "pr"} and not (place / "eval-1.json").exists()


def test_processes_of_torchrun_know_their_shares(place, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("1", "0"):
        assert not (place / "eval.json").exists()
        monkeypatch.setenv("RANK", rank)
        assert main(["a", "--reference", "b", "--batch", "4", *COMMON]) == 0
    assert Result.load(place / "eval.json").protocol["count"] == 30


def test_comparing_says_why_and_sets_the_exit_code(place, capsys):
    for name, more in (("one", []), ("two", ["-n", "20"]), ("three", ["extractor.power=2"])):
        assert main(["a", "--reference", "b", "--out", f"{name}.json", *more, *COMMON]) == 0
    capsys.readouterr()
    assert main(["compare", "one.json", "one.json"]) == 0
    assert "measured twice" in capsys.readouterr().out
    assert main(["compare", "one.json", "two.json"]) == 1
    assert "not comparable: count is 30 and 20" in capsys.readouterr().out
    assert main(["compare", "one.json", "three.json", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [row["field"] for row in found["differences"] if row["is"] == "yardstick"] == ["extractor.sha256"]


def test_shards_are_merged_by_the_last(place, capsys):
    assert main(["a", "--reference", "b", "--batch", "4", "--out", "whole.json", *COMMON]) == 0
    (place / "data").rename(place / "data-of-the-whole")
    for i in (2, 0, 1):
        assert not (place / "eval.json").exists()
        assert main(["a", "--reference", "b", "--batch", "4", "--shard", f"{i}/3", *COMMON]) == 0
    assert "whichever ends last" in capsys.readouterr().out
    whole = Result.load(place / "whole.json").metrics
    assert Result.load(place / "eval.json").metrics == pytest.approx(whole, rel=1e-9)


def test_statistics_are_built_and_used(place, capsys):
    assert stats(["b", "--out", "b.npz", "--metrics", "fd,pr", *COMMON]) == 0
    assert "30 images 8x8 of b, hash " in capsys.readouterr().out
    for reference in ("b", "b.npz"):
        assert main(["a", "--reference", reference, "--metrics", "fd,pr", "--out", f"{reference}.json", *COMMON]) == 0
    assert main(["compare", "b.json", "b.npz.json"]) == 0
    with pytest.raises(ZooError, match=r"\.npz"):
        stats(["b", "--out", "b.json", *COMMON])


@pytest.mark.parametrize(("argv", "words"), [
    (["a"], "nothing to compare these pictures with"),
    (["a", "--reference", "b", "--metrics", "fid"], "did you mean|FID is the name"),
    (["a", "--reference", "b", "--shard", "3/3"], "--shard 3/3"),
    (["a", "--reference", "b", "--extractor", "colurs_for_cli"], "did you mean 'colours_for_cli'"),
    (["a", "--reference", "nowhere.npz"], "nowhere.npz"),
    (["a", "guidance.scale=2", "--reference", "b"], "pictures have no settings"),
    (["nowhere", "--reference", "b"], "no such weights file"),
    (["compare", "a", "b"], "not a result of zoo-eval"),
])  # fmt: skip
def test_mistakes_are_one_message_and_exit_code_2(place, argv, words, capsys):
    import re

    given = argv if argv[0] == "compare" else [*COMMON, *argv]
    assert main(given) == 2
    assert re.search(words, capsys.readouterr().err)
    assert not (place / "eval.json").exists()


def test_settings_of_the_extractor_are_told_from_others():
    assert split_settings(None, ["extractor.weights=a.pth", "guidance.scale=2"]) == (
        {"use": "efficientnet_lite0", "weights": "a.pth"}, ["guidance.scale=2"])  # fmt: skip
    assert split_settings("clip", ["extractor.model=rn50"])[0] == {"use": "clip", "model": "rn50"}
    assert parse_share("0/4") == (0, 4)


def test_help_is_quick_and_imports_no_torch():
    code = ("import sys\nfrom zoo.cli.eval import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules")  # fmt: skip
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0 and "zoo-eval compare" in found.stdout, found.stderr
