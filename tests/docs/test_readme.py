"""What README and docs tell people to type works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TINY = ["backbone.width=32", "backbone.depth=3", "sampler.steps=4", "train.steps=2", "train.batch=4",
        "train.warmup=1", "train.val_images=8", "train.preview_count=4", "train.workers=0"]  # fmt: skip


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands() -> list[str]:
    lines = [line.split(" #")[0].strip() for block in blocks("bash") for line in block.splitlines()]
    return [line for line in lines if line.startswith("zoo-")]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess:
    scripts = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run that README speaks of, only smaller."""
    place = tmp_path_factory.mktemp("readme")
    done = run(["zoo-train", "quickstart", "--out", "runs/quickstart", *TINY], place)
    assert done.returncode == 0, done.stderr
    return place


def test_the_quickstart_leaves_what_it_promises(folder):
    names = {str(p.relative_to(folder / "runs/quickstart")) for p in (folder / "runs/quickstart").rglob("*")}
    assert {"recipe.yaml", "metrics.jsonl", "metrics.csv", "loss.png", "samples/strip.png", "index.html",
            "checkpoints/step-00000002/model.safetensors", "checkpoints/step-00000002/ema.safetensors",
            "checkpoints/step-00000002/optim.safetensors",
            "checkpoints/step-00000002/MANIFEST.json"} <= names  # fmt: skip


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_works(command, folder):
    words = shlex.split(command)
    if words[0] == "zoo-train" and not {"--dry-run", "--explain"} & set(words):
        words += ["--dry-run"]
    if "data.use=parquet" in words:
        words = [w for w in words if not w.startswith("data.path=")] + [f"data.path={parquet(folder)}"]
    done = run(words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    if words[0] == "zoo-sample":
        assert (folder / "flags/grid.png").stat().st_size > 1000


def parquet(folder: Path) -> Path:
    """A parquet data set of four pictures, in the Hugging Face layout."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    def png(i: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.full((32, 32, 3), 40 * i, np.uint8)).save(file, "png")
        return file.getvalue()

    (folder / "data").mkdir(exist_ok=True)
    for split in ("train", "test"):
        rows = [{"image": {"bytes": png(i), "path": None}, "label": i % 2} for i in range(4)]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"data/{split}.parquet")
    return folder / "data"


def test_the_python_of_the_readme_works(folder, monkeypatch):
    monkeypatch.chdir(folder)
    source = next(b for b in blocks("python") if "zoo.build(" in b)
    from safetensors.torch import load_file

    fixture = load_file(ROOT / "tests/parity/fixtures/dim/uncond_lateral_5x5.safetensors")
    B, L, E, N = 2, 9, 8, 4
    names = {
        "x": torch.randn(1, 3, 32, 48), "t": torch.tensor([500.0]), "order": torch.randperm(L).int(),
        "state_dict": {k.removeprefix("state."): v for k, v in fixture.items() if k.startswith("state.")},
        "u": torch.randn(B, L, E), "dt": torch.randn(B, L, E), "A": -torch.rand(E, N), "B": torch.randn(B, L, N),
        "C": torch.randn(B, L, N),
    }  # fmt: skip
    exec(compile(source, "README.md", "exec"), names)
    assert names["prediction"].shape == (1, 3, 32, 48)
    assert len(names["images"]) == 4 and names["images"][0].shape == (32, 32, 3)
    assert names["y"].shape == (B, L, E)


def test_the_part_of_the_readme_works_as_a_plug_in(folder):
    source = next(b for b in blocks("python") if "@zoo.register" in b)
    (folder / "backwards.py").write_text(source)
    (folder / "mine.yaml").write_text("extends: quickstart\nplugins: [backwards.py]\nbackbone: {scan: backwards}\n")
    done = run(["zoo-train", "mine.yaml", "--out", "runs/mine", *TINY], folder)
    assert done.returncode == 0, done.stderr


def test_the_part_of_contributing_is_the_contract():
    source = blocks("python", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))[0]
    assert "backwards" in source
    compile(source, "CONTRIBUTING.md", "exec")


def test_the_example_of_an_own_loop_learns_and_draws(folder):
    done = run([sys.executable, str(ROOT / "docs/examples/own_loop.py")], folder)
    assert done.returncode == 0, done.stderr
    losses = [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("step")]
    assert len(losses) == 20 and losses[-1] < losses[0]
    assert (folder / "own_loop.png").exists()
    assert len((ROOT / "docs/examples/own_loop.py").read_text().splitlines()) <= 42
