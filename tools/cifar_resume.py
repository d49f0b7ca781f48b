#!/usr/bin/env python
"""DiM-S on CIFAR-10 for two short runs: SIGTERM ends the first, the second goes on; curve, samples, images a second.

    python tools/cifar_resume.py --data cifar10 --out out --seconds 235     # two runs, about nine minutes on one H200
    python tools/cifar_resume.py --page                                     # its part of docs/training.md

Writes cifar_dim_s.json and pictures into the folder; copy them to docs/results.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_runs import RESULTS, ROOT, fill, machine, records, speed, zoo

NAME, PAGE = "cifar_dim_s", ROOT / "docs/training.md"
SETTINGS = ["train.compile=true", "train.ema=[0.999]", "train.log_every=50", "train.val_every=500",
            "train.preview_every=1000", "train.save_every=1000"]  # fmt: skip
TINY = ["backbone.width=32", "backbone.depth=3", "train.batch=8", "train.compile=false", "train.log_every=2",
        "train.val_every=20", "train.val_images=16", "train.preview_every=40", "train.preview_count=4"]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Train twice in one folder, or write the page."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, help="folder of train.parquet and test.parquet")
    p.add_argument("--out", type=Path, default=Path("runs/cifar_resume"))
    p.add_argument("--seconds", type=float, default=235.0, help="until SIGTERM, of each run (default 235)")
    p.add_argument("--samples", type=int, default=64, help="drawn at the end (default 64)")
    p.add_argument("--tiny", action="store_true", help="a small model on the CPU, to see that everything runs")
    p.add_argument("--page", action="store_true", help="write the page from docs/results")
    args = p.parse_args(argv)
    if args.page:
        fill(PAGE, "cifar_resume", section(json.loads((RESULTS / f"{NAME}.json").read_text())))
        return 0
    args.out.mkdir(parents=True, exist_ok=True)
    run, place = args.out / "run", ["--device", "cpu"] if args.tiny else []
    command = ["dim_s_cifar", "data.use=parquet", f"data.path={args.data}", *SETTINGS, *(TINY if args.tiny else []),
               "--out", str(run), *place]  # fmt: skip
    result: dict[str, Any] = {"kind": NAME, "recipe": "dim_s_cifar", "seconds": args.seconds, "runs": [], **machine()}
    for i, resume in enumerate(([], ["--resume"])):
        said = zoo("train", *command, *resume, log=args.out / f"{i}.log", term_after=args.seconds)
        result["runs"].append(facts(said, records(run)))
        result["records"] = [thin(r) for r in records(run)]
        (args.out / f"{NAME}.json").write_text(json.dumps(result) + "\n")
    shutil.copy(run / "loss.png", args.out / f"{NAME}_loss.png")
    zoo("sample", str(run), "-n", str(args.samples), "sampler=dpm_solver", "sampler.steps=50", "--out",
        str(args.out / "drawn"), *place, log=args.out / "samples.log")  # fmt: skip
    shutil.copy(args.out / "drawn/grid.png", args.out / f"{NAME}_samples.png")
    return 0


def facts(said: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """How a run began and ended, in its own words, and how fast it was."""
    lines = said.splitlines()
    ended = next(line for line in reversed(lines) if line.startswith(("stopped by", "finished"))).partition(";")[0]
    began = next((Path(line.partition(",")[0]).name for line in lines if line.startswith("continues from")), "step-0")
    step, start = int(re.findall(r"[\d,]+", ended)[0].replace(",", "")), int(began.removeprefix("step-"))
    mine = [r for r in found if r["step"] > start and "images_per_second" in r]
    return {"began": began, "ended": ended, "step": step, "images": step * mine[-1]["images"] // mine[-1]["step"],
            "images_per_second": round(speed(mine)), "mfu": mine[-1].get("mfu"),
            "memory_gib": mine[-1].get("memory_gib")}  # fmt: skip


def thin(record: dict[str, Any]) -> dict[str, Any]:
    """What the curve needs."""
    return {k: v for k, v in record.items() if k == "step" or k == "loss" or k.startswith("val")}


def section(result: dict[str, Any]) -> str:
    """Two runs as a table, the curve, the samples."""
    first, second = result["runs"]
    looks = [r for r in result["records"] if "val_ema" in r]
    before = [r for r in result["records"] if r["step"] <= first["step"] and "loss" in r][-1]
    after = next(r for r in result["records"] if r["step"] > first["step"] and "loss" in r)
    train = "zoo-train dim_s_cifar --out runs/cifar data.use=parquet data.path=cifar10 " + " ".join(SETTINGS[:2])
    seconds = f"{result['seconds']:.0f}"
    return "\n".join([
        f"DiM-S (50.6 M parameters) on CIFAR-10 (a JPEG copy in parquet), one {result['device']}, torch "
        f"{result['torch']}, bf16, everything else as the recipe `dim_s_cifar` says. Two runs in one folder: SIGTERM "
        "ended each, and the second went on where the first had been told to stop.", "",
        "```bash", f"timeout -s TERM {seconds} {train}", f"timeout -s TERM {seconds} {train} --resume", "```", "",
        f"![Loss](results/{NAME}_loss.png)", "",
        "| | first run | second run |", "|---|---|---|",
        f"| began | at step 0 | from {second['began']} |",
        f"| ended | {first['ended']} | {second['ended']} |",
        f"| images seen in all | {first['images']:,} | {second['images']:,} |",
        f"| images/s, median | {first['images_per_second']:,} | {second['images_per_second']:,} |",
        f"| MFU | {share(first['mfu'])} | {share(second['mfu'])} |",
        f"| memory | {first['memory_gib']} GiB | {second['memory_gib']} GiB |", "",
        f"The last mean loss before the stop, at step {before['step']:,}, is {before['loss']:.5f}; the first one "
        f"after it, at step {after['step']:,}, is {after['loss']:.5f}. The averaged weights end with a held-out loss "
        f"of {looks[-1]['val_ema']:.5f} at step {looks[-1]['step']:,}; the best constant has "
        f"{looks[-1]['val_constant']:.4f}. That is {second['images'] / 64e6:.1%} of the 64 M images of the "
        "published model, and nothing here says anything about FID.", "",
        "The first samples of seed 0, unselected, 50 steps of DPM-Solver:", "",
        f"![Samples](results/{NAME}_samples.png)",
    ])  # fmt: skip


def share(mfu: float | None) -> str:
    return "unknown" if mfu is None else f"{mfu:.0%}"


if __name__ == "__main__":
    raise SystemExit(main())
