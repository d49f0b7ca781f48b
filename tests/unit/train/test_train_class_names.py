"""Names of classes go with the weights: who samples needs neither the pictures nor the numbers."""

from __future__ import annotations

import json
import shutil

import pytest
from tiny_runs import trained

from zoo.cli.sample import main
from zoo.weights.load import from_pretrained, save_pretrained


@pytest.fixture(scope="module")
def run(tiny, pictures, tmp_path_factory):
    """A run on a folder of pictures that is gone afterwards."""
    here = tmp_path_factory.mktemp("names")
    shutil.copytree(pictures, here / "pictures")
    trained(tiny("train.steps=1", f"data.path={here / 'pictures'}"), here / "run")
    shutil.rmtree(here / "pictures")
    return here / "run"


@pytest.fixture
def sample(tmp_path, capsys):
    def call(source, *words: str) -> tuple[int, str]:
        out = ["--out", str(tmp_path / "out"), "--device", "cpu", "-n", "2", "--batch", "2"]
        return main([str(source), *out, *words]), capsys.readouterr().err

    return call


def test_classes_of_a_folder_are_its_folders_names(run, sample, tmp_path):
    assert sample(run, "--classes", "left,Above", "--class-grids")[0] == 0
    assert json.loads((tmp_path / "out/sample.json").read_text())["classes"] == {"label": [1, 0]}
    assert {p.name for p in (tmp_path / "out").glob("grid-*")} == {"grid-left.png", "grid-above.png"}


def test_numbers_still_do(run, sample, tmp_path):
    assert sample(run, "--classes", "1,0..1")[0] == 0
    assert json.loads((tmp_path / "out/sample.json").read_text())["classes"] == {"label": [1, 0, 1]}


def test_a_name_that_is_none_gets_the_nearest(run, sample, tmp_path):
    code, text = sample(run, "--classes", "lefft")
    assert code == 2 and "did you mean 'left'" in text and "0 above, 1 left" in text
    assert not (tmp_path / "out").exists()


def test_names_stay_with_weights_that_are_passed_on(run, sample, tmp_path):
    path = save_pretrained(from_pretrained(run), tmp_path / "given")
    assert "| classes | 2 of label |" in (path.parent / "README.md").read_text()
    assert sample(path, "--classes", "above")[0] == 0
