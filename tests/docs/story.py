"""A page is a story: its files are written and its commands and Python run in order, in one folder, at small size.

Commands run inside this process, since each would else import torch anew. What cannot run is in NOT_RUN, with a reason.
"""

from __future__ import annotations

import importlib
import io
import runpy
import shlex
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from blocks import ROOT, Block, blocks, command_lines
from PIL import Image

from zoo.recipe import load_recipe
from zoo.recipe.yaml import parse

TINY = ["backbone.width=32", "backbone.depth=3", "sampler.steps=4", "train.steps=2", "train.batch=4", "train.warmup=1",
        "train.val_images=8", "train.preview_count=4", "train.workers=0"]  # fmt: skip
NOT_RUN = {  # how a command begins -> why it is not run here
    "bash tools/": "makes an environment with pip; tools/quickstart.sh and tools/test.sh are how CI itself starts",
    "pip install": "needs the network",
    "pytest ": "is the suite that this test is part of",
    ".venv/bin/": "is the lint step, which CI runs",
    "python tools/judge_motion.py": "trains a classifier; tests/docs/test_judge_motion.py does it with few clips",
    "torchrun ": "needs several processes; the tests of training do that",
    "zoo-sample hf-hub:": "needs the network",
    "timeout ": "is a record of minutes on a GPU",
    "for i in ": "needs several GPUs; the command in it stands on the page alone as well",
}
PYTHON_NOT_RUN = {  # page -> why its Python is not run here
    "docs/eval.md": "measures 1,000 images with an extractor that is an extra; tests/unit/eval does it with few",
}
SHELL = ("ls ", "cat ", "mkdir ", "cp ", "head ")


class Story:
    """One page, read to its end in a folder.

    Args:
        given: names that the page's Python takes for granted.
    """

    def __init__(self, page: str, folder: Path, given: dict[str, Any]):
        self.page, self.folder, self.names, self.said = page, folder, dict(given), ""

    def run(self) -> None:
        """Everything, in order; a failure names the line."""
        for block in blocks(self.page):
            act: Callable[[Block], None] | None = getattr(self, block.language, None)
            if block.title:
                self.file(block)
            elif act is not None:
                act(block)

    def file(self, block: Block) -> None:
        """A block with a file's name becomes that file; batch scripts also say commands that must parse."""
        (self.folder / block.title).write_text(block.text, encoding="utf-8")
        if block.language == "bash":
            for line in command_lines(block):
                words = shlex.split(line.removeprefix("srun ").replace("$SCRATCH", "here").replace('"$row"', ""))
                if words and words[0].startswith("zoo-"):
                    parses(words, block)

    def python(self, block: Block) -> None:
        """Python without a name runs in the page's one namespace; it lies in a file, where parts are read from."""
        if self.page in PYTHON_NOT_RUN:
            return
        file = self.folder / f"line_{block.line}.py"
        file.write_text(block.text, encoding="utf-8")
        exec(compile(block.text, str(file), "exec"), self.names)

    def text(self, block: Block) -> None:
        """What a page shows as output is what was printed; behind `$ command`, what that command prints."""
        if block.text.startswith("$ "):
            shown, _, expected = block.text[2:].partition("\n")
            words, heard = shlex.split(shown), io.StringIO()
            with redirect_stdout(heard), redirect_stderr(heard):
                entry(words[0])(words[1:])
            self.said = heard.getvalue()
        else:
            expected = block.text
        assert expected.partition("...")[0].strip() in self.said, f"{block}: printed was\n{self.said}"

    def yaml(self, block: Block) -> None:
        """YAML is a recipe if it extends one, and anyway well-formed."""
        parse(block.text.encode(), str(block))
        if "extends:" in block.text:
            (self.folder / "block.yaml").write_text(block.text, encoding="utf-8")
            load_recipe(self.folder / "block.yaml")

    def bash(self, block: Block) -> None:
        """Commands, one after another; what they print is kept for the page's next block of output."""
        heard = io.StringIO()
        with redirect_stdout(heard):
            self.commands(block)
        self.said = heard.getvalue()

    def commands(self, block: Block) -> None:
        for line in command_lines(block):
            if any(line.startswith(prefix) for prefix in NOT_RUN):
                continue
            words = shlex.split(line)
            if words[0].startswith("zoo-"):
                command(words, block)
            elif words[0] == "python":
                runpy.run_path(words[1], run_name="__main__")
            elif line.startswith(SHELL):
                subprocess.run(line, shell=True, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)
            else:
                pytest.fail(f"{block}: {line!r} is neither run nor in NOT_RUN")


def command(words: list[str], block: Block) -> None:
    """One of our commands, made small; exit code 0 is expected."""
    smaller = SMALL.get(words[0], lambda _: None)(words[1:])
    if smaller is None:
        parses(words, block)
        return
    code = entry(words[0])(smaller)
    assert code == 0, f"{block}: {shlex.join(words)} ended with {code}"


def parses(words: list[str], block: Block) -> None:
    """A command that costs too much is at least one that the command line accepts."""
    name = _targets()[words[0]].partition(":")[0]
    if words[0] == "zoo-data":  # each of its subcommands has a parser of its own
        name, words = f"{name}_{words[1]}", words[1:]
    module = importlib.import_module(name)
    assert hasattr(module, "parser"), f"{block}: {words[0]} has no parser() to try this on; add it to SMALL"
    parser = module.parser()
    try:
        parser.parse_intermixed_args(words[1:]) if not parser._subparsers else parser.parse_args(words[1:])
    except SystemExit as refused:
        assert not refused.code, f"{block}: {shlex.join(words)} is not accepted"


def entry(name: str) -> Callable[..., int]:
    """The function behind a command."""
    module, _, function = _targets()[name].partition(":")
    return getattr(importlib.import_module(module), function)


def _targets() -> dict[str, str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.partition("[project.scripts]")[2].partition("\n[")[0].strip().splitlines()
    return {k.strip(): v.strip().strip('"') for k, _, v in (line.partition("=") for line in lines)}


def small_training(words: list[str]) -> list[str] | None:
    """Emoji and local pictures become two updates, other data a rehearsal; a recipe without data cannot be tried."""
    if {"--dry-run", "--explain"} & set(words):
        return words
    recipe = load_recipe(words[0], [w for w in words[1:] if "=" in w and not w.startswith("-")])
    if recipe["data"] is None:
        return None
    local = recipe["data"]["use"] in ("emoji", "emoji_clips", "folder")
    return [*words, *TINY] if local else [*words, "--dry-run"]


def small_sampling(words: list[str]) -> list[str] | None:
    """Two images in place of many, in at most six steps; video files only where their package is."""
    if {"mp4", "webm"} & set(words) and find_spec("imageio_ffmpeg") is None:
        return None
    fewer = [("2" if before == "-n" else word) for before, word in zip(["", *words], words)]
    return [f"sampler.steps={min(int(w[14:]), 6)}" if w.startswith("sampler.steps=") else w for w in fewer]


def small_listing(words: list[str]) -> list[str]:
    """Sizes of one recipe, not of all."""
    return ["recipes", "dim_s_cifar", "--long"] if words == ["recipes", "--long"] else words


def small_ablation(words: list[str]) -> list[str] | None:
    """Plans are made, and studies that name their folder run, with the quickstart in the place of any recipe."""
    if not {"--plan", "--out"} & set(words):
        return None
    costly = ("--max-images", "--metrics", "--extractor", "--count")
    kept = [w for before, w in zip(["", *words], words) if not {before, w} & set(costly) and w != "train.compile=true"]
    return ["quickstart", *TINY, *kept[not words[0].startswith("-") :], "--metrics", "none", "--shown", "2"]


def small_evaluation(words: list[str]) -> list[str] | None:
    """Four samples of a run, or the pictures that are there, against eight; not of clips, or what needs the network."""
    given = [words[0], *(word for before, word in pairwise(words) if before == "--reference")]
    if {"compare", "inception", "clip_fd", "--sweep"} & set(words) or not all(Path(place).is_dir() for place in given):
        return None
    if find_spec("efficientnet_lite_pytorch") is None:
        return None
    fewer = [("4" if before == "-n" else word) for before, word in zip(["", *words], words)]
    fewer += ["-n", "4"] * ("-n" not in words and (Path(words[0]) / "recipe.yaml").exists())
    return fewer if "--reference" in words else [*fewer, "--reference", str(pictures(Path("eight")))]


def pictures(folder: Path) -> Path:
    """A folder of eight pictures of noise."""
    folder.mkdir(exist_ok=True)
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return folder


SMALL: dict[str, Callable[[list[str]], list[str] | None]] = {
    "zoo-train": small_training,
    "zoo-sample": small_sampling,
    "zoo-list": small_listing,
    "zoo-doctor": list,
    "zoo-ablate": small_ablation,
    "zoo-eval": small_evaluation,
}
