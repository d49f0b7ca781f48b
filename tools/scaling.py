"""Images a second of training updates on random inputs, in every process as many; a part of `multi_gpu_check.py`.

    python tools/scaling.py --model dim_h --seconds 10 --out speed.json      # on one GPU
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from zoo.builder import section
from zoo.data.loader import Batch
from zoo.recipe import Recipe, load_recipe
from zoo.sampling.api import pick_device
from zoo.train.guard import Guard
from zoo.train.precision import configure
from zoo.train.ranks import Ranks, joined
from zoo.train.settings import Train
from zoo.train.state import State
from zoo.train.step import Objective, Update

MODELS = {"dim_s": ("dim_s_cifar", 128, 128), "dim_h": ("dim_h_imagenet256", 64, 32)}
"""Name -> recipe, images a GPU, of these at a time."""
TINY = ["backbone.width=64", "backbone.depth=3"]
SETTINGS = {kind: [f"train.parallel={kind}", "train.cuda_graph=false"] for kind in ("ddp", "fsdp")}
SETTINGS["graph"] = ["train.cuda_graph=true"]
WARM, ROUND = 6, 4
"""Updates before the clock starts; updates between two looks at it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Measure one model in the processes that are there."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", choices=MODELS, default="dim_s")
    p.add_argument("--parallel", choices=("ddp", "fsdp", "graph"), default="ddp",
                   help="graph: DDP's division of work, each process replays a CUDA graph")  # fmt: skip
    p.add_argument("--seconds", type=float, default=10.0)
    p.add_argument("--device", default="auto")
    p.add_argument("--tiny", action="store_true", help="a small model and 2 images a process: does it run?")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args(argv)
    with joined(pick_device(args.device)) as ranks:
        name, each, micro = MODELS[args.model] if not args.tiny else (MODELS[args.model][0], 2, 2)
        recipe = load_recipe(name, [
            f"train.batch={each * ranks.size}", f"train.micro_batch={micro}", "train.precision=bf16",
            *SETTINGS[args.parallel], *(TINY if args.tiny else []),
        ])  # fmt: skip
        settings = section(recipe, "train")()
        configure(ranks.device, settings.precision, deterministic=False)
        update, state = prepared(recipe, settings, ranks)
        images = torch.randn((each, *recipe["shape"]), device=ranks.device)
        told = state.backbone.labels if settings.label_dropout else ()  # only guided models are told classes
        labels = {n: torch.zeros(each, dtype=torch.int64, device=ranks.device) for n in told}
        count, took = timed(lambda: update(state, Batch(images, labels, state.images + each * ranks.rank)), ranks,
                            args.seconds)  # fmt: skip
        if ranks.first:
            args.out.write_text(json.dumps(said(count * each * ranks.size / took, count, each, update, state, ranks)))
    return 0


def prepared(recipe: Recipe, settings: Train, ranks: Ranks) -> tuple[Update, State]:
    """An update and what it changes, with weights made where they are used: numbers do not matter here."""
    with made_on(ranks.device):
        state = State.start(recipe, settings, ranks)
    objective = Objective(recipe, state.backbone, settings.precision).through(state.parallel.network())
    return Update(objective, settings, Guard("raise", ranks.device)), state


@contextmanager
def made_on(device: torch.device) -> Iterator[None]:
    """Random numbers of a billion weights take a GPU no time and one core half a minute."""
    with device if device.type == "cuda" else torch.device("cpu"):
        yield


def timed(step: Any, ranks: Ranks, seconds: float) -> tuple[int, float]:
    """(updates, their seconds); all processes stop together."""
    wait = torch.cuda.synchronize if ranks.device.type == "cuda" else (lambda: None)
    for _ in range(WARM):
        step()
    wait()
    if ranks.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ranks.any(False)
    count, began = 0, time.perf_counter()
    while not ranks.any(time.perf_counter() - began > seconds):
        for _ in range(ROUND):
            step()
        count += ROUND
        wait()
    return count, time.perf_counter() - began


def said(rate: float, updates: int, each: int, update: Update, state: State, ranks: Ranks) -> dict[str, Any]:
    """The result of the first process."""
    gpu = ranks.device.type == "cuda"
    used = torch.cuda.max_memory_allocated() + update.through(state).uncounted if gpu else 0
    memory = round(used / 2**30, 2) if gpu else None
    loss = state.meter.read().get("loss")
    return {"images_per_second": round(rate, 1), "updates": updates, "images_a_gpu": each, "micro_batch": state.micro,
            "memory_gib": memory, "loss": loss, "device": torch.cuda.get_device_name() if gpu else "cpu"}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
