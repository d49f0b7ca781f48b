#!/usr/bin/env python
"""Weak to strong on the embedded set: half of the time at 32 px, half at 64, against all of it at 64 from scratch.

    python tools/weak_to_strong.py --out out --seconds 140     # three trainings, within nine minutes on one H200
    python tools/weak_to_strong.py --page                      # docs/weak-to-strong.md from docs/results

The model is `emoji64`. First both sizes are tried for their speed, compilation included; then each training gets as
many updates as fit into its time at that speed, so that its cosine schedule ends where its time does. Where there are
two GPUs each of the two ways has its own, which takes half of the time and changes nothing.
Writes weak_to_strong.json and pictures into the folder; copy them to docs/results.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

from training_runs import RESULTS, ROOT, gpus, machine, records, speed, zoo

NAME, PAGE = "weak_to_strong", ROOT / "docs/weak-to-strong.md"
BATCH, LOOKS, SAMPLES = 128, 12, 54
RUNS = {"weak": (32, 0.5, 5.0e-4), "strong": (64, 0.5, 2.5e-4), "scratch": (64, 1.0, 5.0e-4)}
"""Name -> side in pixels, part of the time, learning rate: a fine-tuned model gets half of it, as in the paper."""
LABELS = {"strong": "32 px, then 64 px", "scratch": "64 px from scratch"}
WAYS = (("weak", "strong"), ("scratch",))
"""What is trained one after the other; the second way does not need the first one."""
TINY = ["backbone.width=32", "backbone.depth=3", "backbone.padding.count=1", "sampler.steps=4"]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or write the page."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("runs/weak_to_strong"))
    p.add_argument("--seconds", type=float, default=140.0, help="of training, for each of the two ways (default 140)")
    p.add_argument("--trial", type=int, default=150, help="updates to measure the speed with (default 150)")
    p.add_argument("--count", type=int, default=1000, help="samples for the Frechet distance; 0: none (default 1000)")
    p.add_argument("--tiny", action="store_true", help="a small model on the CPU, to see that everything runs")
    p.add_argument("--page", action="store_true", help="write the page from docs/results")
    args = p.parse_args(argv)
    if args.page:
        PAGE.write_text(page(json.loads((RESULTS / f"{NAME}.json").read_text())), encoding="utf-8")
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    study = Study(args)
    sides: list[int] = [32, 64]
    rates = dict(zip(sides, study.abreast(lambda gpu: study.rate(sides[gpu], gpu))))
    study.abreast(lambda gpu: [study.train(name, rates, gpu) for name in WAYS[gpu]])
    study.abreast(lambda gpu: study.look([*LABELS][gpu], gpu))
    return 0


class Study:
    """The runs, and the result, which is written after each of them."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.out, self.lock = args, args.out, Lock()
        self.result: dict[str, Any] = {"kind": NAME, "recipe": "emoji64", "seconds": args.seconds, "batch": BATCH,
                                       **machine(), "runs": {}}  # fmt: skip
        self.gpus = max(len(gpus()), 1)

    def abreast(self, work: Callable[[int], Any]) -> list[Any]:
        """`work(0)` and `work(1)`, at the same time if each has a GPU."""
        with ThreadPoolExecutor(2 if self.gpus > 1 else 1) as pool:
            return [*pool.map(work, (0, 1))]

    def zoo(self, command: str, name: str, *arguments: str, gpu: int, log: str) -> str:
        """A command on a run."""
        place = ["--device", "cpu"] if self.args.tiny else []
        return zoo(command, *arguments, *place, log=self.out / f"{name}{log}.log", gpu=gpu % self.gpus)

    def _train(self, name: str, side: int, steps: int, gpu: int, *settings: str) -> str:
        fixed = [f"shape=[3,{side},{side}]", f"train.steps={steps}", f"train.batch={BATCH}", "train.save_every=0",
                 "train.preview_every=0", "train.val_images=512", "train.workers=8"]  # fmt: skip
        shape = [*TINY, "train.workers=0", "train.batch=8", "train.val_images=16"] if self.args.tiny else []
        quick = ["train.compile=true"] * (not self.args.tiny)
        return self.zoo("train", name, "emoji64", *fixed, *quick, *shape, *settings, "--out", str(self.out / name),
                        gpu=gpu, log="")  # fmt: skip

    def rate(self, side: int, gpu: int) -> float:
        """Images a second at a size."""
        every = max(self.args.trial // 5, 1)
        self._train(f"trial{side}", side, self.args.trial, gpu, "train.val_every=0", f"train.log_every={every}")
        return speed(records(self.out / f"trial{side}"))

    def train(self, name: str, rates: dict[int, float], gpu: int) -> None:
        """One of the three, with looks at held-out pictures at even distances."""
        side, part, lr = RUNS[name]
        steps = max(round(rates[side] * self.args.seconds * part / BATCH), LOOKS)
        often = max(steps // LOOKS, 1)
        start = [f"train.init_from={self.out / 'weak'}"] if name == "strong" else []
        said = self._train(name, side, steps, gpu, f"train.optimizer.lr={lr}", "train.warmup=100",
                           f"train.val_every={often}", f"train.log_every={max(often // 2, 1)}", *start)  # fmt: skip
        found = records(self.out / name)
        looks = [r for r in found if "val_ema" in r]
        self.result["runs"][name] = {
            "side": side, "lr": lr, "updates": steps, "images_per_second": round(speed(found)),
            "seconds": round(steps * BATCH / speed(found), 1), "val_ratio": looks[-1]["val_ratio"],
            "curve": [[round(r["step"] * BATCH / speed(found), 2), r["val_ema"]] for r in looks],
            "init": [line.replace(f"{self.out}/", "runs/") for line in said.splitlines() if line.startswith("from ")],
        }  # fmt: skip
        self.write()

    def look(self, name: str, gpu: int) -> None:
        """Samples, and their Frechet distance if the extractor is there."""
        self.zoo("sample", name, str(self.out / name), "-n", str(SAMPLES), "--out", str(self.out / name / "drawn"),
                 gpu=gpu, log="_samples")  # fmt: skip
        shutil.copy(self.out / name / "drawn/grid.png", self.out / f"{NAME}_{name}.png")
        if self.args.count:
            try:
                self.zoo("eval", name, str(self.out / name), "-n", str(self.args.count), "--metrics", "fd", "--out",
                         str(self.out / f"{name}.json"), "--precision", "bf16", gpu=gpu, log="_eval")  # fmt: skip
                found = json.loads((self.out / f"{name}.json").read_text())
                self.result["runs"][name]["metrics"] = found["metrics"]
            except RuntimeError as error:
                print(error)
        self.write()

    def write(self) -> None:
        """The result so far, and its curves."""
        with self.lock:
            (self.out / f"{NAME}.json").write_text(json.dumps(self.result, indent=1) + "\n")
            if RUNS.keys() <= self.result["runs"].keys():
                draw(self.result, self.out / f"{NAME}_curve.png")


def draw(result: dict[str, Any], path: Path) -> None:
    """Held-out loss at 64 px over seconds of training; what was spent at 32 px counts."""
    from PIL import Image, ImageDraw

    from zoo.ablate.picture import HEIGHT, PANEL, PAPER, SHARP, curves
    from zoo.sampling.picture import save_picture

    sheet = Image.new("RGB", (PANEL * SHARP, HEIGHT * SHARP), PAPER)
    lines = {LABELS[name]: [timed(result, name)] for name in LABELS}
    curves(ImageDraw.Draw(sheet), 0, lines, "held-out loss at 64 px over seconds of training")
    save_picture(sheet.resize((PANEL, HEIGHT), Image.Resampling.LANCZOS), path)


def timed(result: dict[str, Any], name: str) -> list[tuple[float, float]]:
    """(seconds since the first update of all, loss)."""
    before = result["runs"]["weak"]["seconds"] if name == "strong" else 0.0
    return [(before + seconds, loss) for seconds, loss in result["runs"][name]["curve"]]


def page(result: dict[str, Any]) -> str:
    """The page, whichever wins."""
    runs = result["runs"]
    ends = {name: runs[name]["curve"][-1][1] for name in LABELS}
    total = {"strong": runs["weak"]["seconds"] + runs["strong"]["seconds"], "scratch": runs["scratch"]["seconds"]}
    rows = [f"| {LABELS[n]} | {updates(runs, n)} | {total[n]:.0f} s | {ends[n]:.5f} | {distance(runs[n])} |"
            for n in LABELS]  # fmt: skip
    settings = f"zoo-train emoji64 --out runs/{{}} train.batch={BATCH} train.warmup=100 train.compile=true"
    return "\n".join([
        "# Weak to strong, on emoji", "", "<!-- written by tools/weak_to_strong.py; do not edit -->", "",
        "The paper trains at 256 px and fine-tunes at 512. Here is the same at 32 and 64 px, on the embedded set: half "
        "of the time at 32 px, then half of it at 64 px with `train.init_from`, against all of the time at 64 px from "
        f"scratch. One {result['device']}, torch {result['torch']}, recipe `emoji64` "
        "(same model, data, loss and seed for all); its cosine schedule ends with the time of each training.", "",
        "```bash",
        settings.format("weak") + f" shape='[3,32,32]' train.steps={runs['weak']['updates']}",
        settings.format("strong") + f" train.init_from=runs/weak train.steps={runs['strong']['updates']} "
        f"train.optimizer.lr={runs['strong']['lr']}",
        settings.format("scratch") + f" train.steps={runs['scratch']['updates']}",
        "```", "",
        *(f"> {line}" for line in runs["strong"]["init"]), "",
        "| | updates | training | held-out loss at 64 px | Frechet distance |", "|---|---|--:|--:|--:|", *rows, "",
        f"{verdict(ends, runs)} Noise and times of the held-out loss are the same at every look and for both. One seed "
        "each: a difference of a few per cent may be chance. Training is the number of images over the median speed of "
        "that run; start, compilation and looks at held-out pictures are not in it.", "",
        f"![Held-out loss over time](results/{NAME}_curve.png)", "",
        "The first samples of seed 0 at the end, unselected; a row goes through the categories.", "",
        *(f"**{LABELS[n]}**\n\n![{LABELS[n]}](results/{NAME}_{n}.png)\n" for n in LABELS),
        f"Figures: [{NAME}.json](results/{NAME}.json). `python tools/{NAME}.py` makes them anew.", "",
    ])  # fmt: skip


def verdict(ends: dict[str, float], runs: dict[str, Any]) -> str:
    """Who is ahead at the end, in loss and in distance, in a sentence or two."""
    best, other = sorted(ends, key=lambda name: ends[name])
    said = f"At the end the loss is {1 - ends[best] / ends[other]:.1%} lower for *{LABELS[best]}*."
    distances = {n: value for n in LABELS for value in [*runs[n].get("metrics", {}).values()][:1] if value}
    if len(distances) == len(LABELS):
        best, other = sorted(distances, key=lambda name: distances[name])
        said += f" The Frechet distance is {1 - distances[best] / distances[other]:.1%} lower for *{LABELS[best]}*."
    return said


def updates(runs: dict[str, Any], name: str) -> str:
    """How many, at which sizes."""
    stages = ("weak", "strong") if name == "strong" else (name,)
    return ", then ".join(f"{runs[s]['updates']:,} at {runs[s]['side']} px" for s in stages)


def distance(run: dict[str, Any]) -> str:
    """With its name, which says whose features it has."""
    return ", ".join(f"{name} {value:.2f}" for name, value in run.get("metrics", {}).items()) or "not measured"


if __name__ == "__main__":
    raise SystemExit(main())
