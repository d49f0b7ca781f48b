"""How each command of a page is made small enough to run; or why it is not run, and what is checked instead."""

from __future__ import annotations

import importlib
import re
import shlex
from argparse import ArgumentParser
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from blocks import ROOT
from PIL import Image

from zoo import registry
from zoo.recipe import load_recipe

TINY = ["backbone.width=32", "backbone.depth=3", "sampler.steps=4", "train.steps=2", "train.batch=4", "train.warmup=1",
        "train.val_images=8", "train.preview_count=4", "train.workers=0",
        "train.compile=false"]  # fmt: skip  # building kernels takes longer than the page; tests/unit/train compiles
NOT_RUN = {  # how a command begins -> why it is not run here
    "bash tools/": "makes an environment with pip; tools/quickstart.sh and tools/test.sh are how CI itself starts",
    "pip install": "needs the network",
    "pytest ": "is the suite that this test is part of",
    ".venv/bin/": "is the lint step, which CI runs",
    "python tools/judge_motion.py": "trains a classifier; tests/docs/test_judge_motion.py does it with few clips",
    "zoo-sample hf-hub:": "needs the network",
}
STARTS = re.compile(  # what starts a command of ours: many processes, or a limited time
    r"timeout -s \w+ \d+ |srun |torchrun --nproc-per-node \d+ -m |for i in [\d ]+; do CUDA_VISIBLE_DEVICES=\$i "
)


class Why(str):
    """Why a command is checked by its own parser, recipe and registry, but not run."""


Small = list[str] | Why


def words_of(line: str) -> list[str]:
    """The words of one of our commands, without what starts it and with the shell's variables filled in."""
    line = STARTS.sub("", line).partition(" & done")[0].replace("$SCRATCH", "here").replace("$i/", "0/")
    line = line.replace('"$row"', "backbone.scan=two_way").replace("$row", "row")
    return shlex.split(re.sub(r"^zoo\.cli\.(\w+)", r"zoo-\1", line))


def small(words: list[str]) -> Small:
    """The words behind the command's name, made small, or why that cannot be."""
    return SMALL.get(words[0], lambda rest: rest)(words[1:])


def training(words: list[str]) -> Small:
    """Emoji and local pictures become two updates, other data a rehearsal; a recipe without data cannot be tried."""
    if {"--dry-run", "--explain"} & set(words):
        return words
    recipe = load_recipe(words[0], [w for w in words[1:] if "=" in w and not w.startswith("-")])
    if recipe["data"] is None:
        return Why("this recipe names no data")
    local = recipe["data"]["use"] in ("emoji", "emoji_clips", "folder")
    return [*words, *TINY] if local else [*words, "--dry-run"]


def sampling(words: list[str]) -> Small:
    """Two images in place of many, in at most six steps; video files only where their package is."""
    if {"mp4", "webm"} & set(words) and find_spec("imageio_ffmpeg") is None:
        return Why("imageio-ffmpeg is not installed")
    fewer = replaced(words, {"-n": "2"})
    return [f"sampler.steps={min(int(w[14:]), 6)}" if w.startswith("sampler.steps=") else w for w in fewer]


def listing(words: list[str]) -> Small:
    """Sizes of one recipe, not of all."""
    return ["recipes", "dim_s_cifar", "--long"] if words == ["recipes", "--long"] else words


def ablation(words: list[str]) -> Small:
    """Plans are made, and studies that name their folder run, with the quickstart in the place of any recipe."""
    if not {"--plan", "--out"} & set(words):
        return Why("trains for hours; docs/tutorials/table4.md has a study that is run")
    costly = ("--max-images", "--metrics", "--extractor", "--count")
    kept = [w for before, w in zip(["", *words], words) if not {before, w} & set(costly) and w != "train.compile=true"]
    return ["quickstart", *TINY, *kept[not words[0].startswith("-") :], "--metrics", "none", "--shown", "2"]


def evaluation(words: list[str]) -> Small:
    """Four samples of the tiny run, or the pictures that are there, against eight, by the offline extractor."""
    if any(word.startswith("fid_stats") for word in words):
        return Why("these statistics are Inception's, whose weights need the network; tests/unit/eval reads such files")
    if find_spec("efficientnet_lite_pytorch") is None:
        return Why("the extra eval-offline is not installed")
    if words[0] == "compare":
        return words
    source = words[0] if Path(words[0]).is_dir() else "runs/quickstart"
    fewer = [source, *replaced(words[1:], {"-n": "4", "--sweep": "guidance.scale=1,2"})]
    if "inception" in fewer:
        fewer = replaced(fewer, {"--extractor": "efficientnet_lite0", "--metrics": "fd,pr"})
    fewer += ["-n", "4"] * ("-n" not in fewer and (Path(source) / "recipe.yaml").exists())
    if "--reference" in fewer:
        return fewer
    return [*fewer, "--reference", "clips.npz" if "clip_fd" in fewer else str(pictures(Path("eight")))]


def benchmark(words: list[str]) -> Small:
    """Three blocks of 64 channels at one small size: tables, and no picture, which needs two."""
    at = next((i for i, word in enumerate(words) if word.startswith("--")), len(words))
    recipes = words[:at] or ["dim_s_cifar", "uvit_s_cifar", "mamba_s_cifar"]
    tiny = ["backbone.width=64", "backbone.depth=3"]
    cut = [piece for w in recipes if not w.startswith("backbone.depth=") for piece in ([w] if "=" in w else [w, *tiny])]
    frames = "--frames" in words
    return [*cut, *replaced(words[at:], {"--res": "32" if frames else "16", "--frames": "2"}), "--detail", "none",
            "--max-minutes", "1"]  # fmt: skip


def data(words: list[str]) -> Small:
    """Eight emoji in place of a data set; two clips of two frames through an autoencoder that the page's test made."""
    if words[0] == "stats":
        if find_spec("efficientnet_lite_pytorch") is None:
            return Why("the extra eval-offline is not installed")
        return ["stats", "quickstart", *words[2:], "-n", "8"]
    if find_spec("diffusers") is None:
        return Why("the extra vae is not installed")
    tiny = ["shape=[2,4,8,8]", "autoencoder.path=vae", "autoencoder.factor=2", "autoencoder.scale=1.0"]
    return [*words, *tiny] if words[0] == "encode" else words


SMALL: dict[str, Callable[[list[str]], Small]] = {
    "zoo-train": training,
    "zoo-sample": sampling,
    "zoo-list": listing,
    "zoo-ablate": ablation,
    "zoo-eval": evaluation,
    "zoo-bench": benchmark,
    "zoo-data": data,
}


def replaced(words: list[str], values: dict[str, str]) -> list[str]:
    """The words with other values behind these options, and behind `--option=`."""
    return [values.get(before, word) for before, word in zip(["", *words], words)]


def check(words: list[str], where: object) -> None:
    """A command that is not run: its parser takes it, its recipe, rows and settings load."""
    from zoo.cli.ablation import study_of
    from zoo.cli.eval import request

    if words[:2] == ["zoo-eval", "compare"]:
        assert len(words) == 4, f"{where}: two figures are compared"
        return
    name = targets()[words[0]].partition(":")[0]
    if words[0] == "zoo-data":  # each of its subcommands has a parser of its own
        name, words = f"{name}_{words[1]}", ["zoo-data", *words[2:]]
    parser: ArgumentParser = importlib.import_module(name).parser()
    try:
        args = parser.parse_intermixed_args(words[1:]) if not parser._subparsers else parser.parse_args(words[1:])
    except SystemExit as refused:
        raise AssertionError(f"{where}: {shlex.join(words)} is not accepted") from refused
    if words[0] == "zoo-eval":
        asked = request(args)
        registry.find("extractor", asked.extractor["use"])
    elif words[0] == "zoo-ablate":
        assert study_of(args)[0].rows[1:], f"{where}: {shlex.join(words)} compares nothing"
    elif hasattr(args, "recipe"):
        load_recipe(args.recipe, args.settings)


def targets() -> dict[str, str]:
    """Command -> module:function, as pyproject.toml says."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lines = text.partition("[project.scripts]")[2].partition("\n[")[0].strip().splitlines()
    return {k.strip(): v.strip().strip('"') for k, _, v in (line.partition("=") for line in lines)}


def pictures(folder: Path) -> Path:
    """A folder of eight pictures of noise."""
    folder.mkdir(exist_ok=True)
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{i}.png")
    return folder
