#!/usr/bin/env python
"""Training on several GPUs of one machine: is it the training of one GPU, and how much faster?

    python tools/multi_gpu_check.py --out multi_gpu.json              # about 8 minutes on 4 GPUs
    python tools/multi_gpu_check.py --device cpu --tiny --gpus 1,2    # a rehearsal without GPUs

It runs itself under `zoo.train.launch` with 1, 2 and 4 processes and writes one JSON file: losses of DDP and FSDP2
against one GPU, a run saved by 4 and continued by 1, images a second and scaling efficiency of DiM-S and DiM-H on
random inputs, and whether each is within its bound. The exit code is 1 if one is not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BOUNDS = {"ddp": 1e-4, "fsdp": 1e-4, "resumed": 1e-4, "efficiency": 0.95}
PARITY = ["train.batch=32", "train.precision=fp32", "train.optimizer.lr=2.0e-4", "train.warmup=5", "train.ema=[0.99]",
          "train.val_every=0", "train.preview_every=0", "train.save_every=0", "train.log_every=1", "train.workers=2",
          "train.max_minutes=0", "train.deterministic=true"]  # fmt: skip
SMALL = ["backbone.width=64", "backbone.depth=3"]
SPEED = {"dim_s": ("dim_s_cifar", 128), "dim_h": ("dim_h_imagenet256", 64)}
"""Name -> recipe and images a GPU."""


def main() -> int:
    """Start the parts one after the other, as long as there is time."""
    args = parser().parse_args()
    if args.part:
        return PARTS[args.part](args)
    began, results = time.monotonic(), {"bounds": BOUNDS, "gpus": args.gpus}
    counts = [int(n) for n in args.gpus.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for name, part, count, more in plan(counts):
            left = args.minutes * 60 - (time.monotonic() - began)
            out = Path(folder) / f"{name}.json"
            results[name] = run(args, part, count, out, Path(folder), more, left)
            print(f"{time.monotonic() - began:5.0f} s  {name}: {json.dumps(results[name])[:300]}", flush=True)
    results["verdicts"] = verdicts(results, counts)
    results["seconds"] = round(time.monotonic() - began, 1)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results["verdicts"], indent=1))
    return 0 if all(v["good"] for v in results["verdicts"].values()) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("multi_gpu.json"))
    p.add_argument("--gpus", default="1,2,4", help="numbers of processes (default 1,2,4)")
    p.add_argument("--steps", type=int, default=50, help="updates of each comparison of losses")
    p.add_argument("--minutes", type=float, default=8.0, help="parts that would begin later are left out")
    p.add_argument("--seconds", type=float, default=12.0, help="of each measurement of speed")
    p.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    p.add_argument("--tiny", action="store_true", help="small models, to see that everything runs")
    p.add_argument("--part", help=argparse.SUPPRESS)
    p.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    p.add_argument("--more", default="{}", help=argparse.SUPPRESS)
    return p


def plan(counts: list[int]) -> list[tuple[str, str, int, dict[str, Any]]]:
    """(name, part, processes, its settings): what matters most comes first."""
    most, several = max(counts), [n for n in counts if n > 1]
    steps = [("loss_1", "loss", 1, {"folder": "one"})]
    steps += [(f"loss_ddp_{n}", "loss", n, {"folder": f"ddp{n}", "parallel": "ddp"}) for n in several]
    steps += [(f"loss_fsdp_{n}", "loss", n, {"folder": f"fsdp{n}", "parallel": "fsdp"}) for n in several]
    steps += [(f"half_{most}", "loss", most, {"folder": "resumed", "parallel": "fsdp", "half": True}),
              ("resumed_1", "loss", 1, {"folder": "resumed", "resume": True})]  # fmt: skip
    for model in reversed(SPEED):
        steps += [(f"speed_{model}_ddp_{n}", "speed", n, {"model": model, "parallel": "ddp"}) for n in counts]
    steps += [(f"speed_dim_h_fsdp_{most}", "speed", most, {"model": "dim_h", "parallel": "fsdp"})]
    return steps


def run(args: argparse.Namespace, part: str, count: int, out: Path, folder: Path, more: dict, left: float) -> dict:
    """One part in its own processes, on the first `count` GPUs."""
    if left < 20:
        return {"left_out": "no time"}
    argv = ["--part", part, "--out", str(out), "--folder", str(folder), "--more", json.dumps(more),
            "--device", args.device, "--steps", str(args.steps), "--seconds", str(args.seconds)]  # fmt: skip
    argv += ["--tiny"] * args.tiny
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tools")]), "OMP_NUM_THREADS": "4"}
    if args.device == "cuda":
        given = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        env["CUDA_VISIBLE_DEVICES"] = ",".join(given.split(",")[:count])
    many = f"from zoo.train.launch import launch; raise SystemExit(launch('multi_gpu_check', {argv!r}, {count}))"
    command = [sys.executable, "-c", many] if count > 1 else [sys.executable, "-m", "multi_gpu_check", *argv]
    try:
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True,
                              timeout=max(left, 20))  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"error": "ran out of time"}
    if not out.exists():
        return {"error": f"exit code {done.returncode}: {(done.stderr or done.stdout)[-1500:]}"}
    return json.loads(out.read_text())


def loss(args: argparse.Namespace) -> int:
    """Train a small DiM on emoji, perhaps half of the way, perhaps from where others stopped."""
    from zoo.recipe import load_recipe
    from zoo.train.loop import train

    more = json.loads(args.more)
    steps = args.steps // 2 if more.get("half") else args.steps
    parallel = f"train.parallel={more.get('parallel', 'ddp')}"
    size = SMALL if args.tiny else ["backbone.width=256", "backbone.depth=13"]
    recipe = load_recipe("quickstart", [*PARITY, *size, parallel, f"train.steps={steps}"])
    folder = args.folder / more["folder"]
    train(recipe, folder, resume=more.get("resume", False), device=args.device)
    if int(os.environ.get("RANK", "0")) == 0:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        args.out.write_text(json.dumps({"losses": [json.loads(line)["loss"] for line in lines]}))
    return 0


def speed(args: argparse.Namespace) -> int:
    """Images a second of training updates on random inputs, with as many images on every GPU."""
    import torch

    from zoo.builder import section
    from zoo.data.loader import Batch
    from zoo.recipe import load_recipe
    from zoo.sampling.api import pick_device
    from zoo.train.guard import Guard
    from zoo.train.precision import configure
    from zoo.train.ranks import joined
    from zoo.train.state import State
    from zoo.train.step import Objective, Update

    more = json.loads(args.more)
    name, each = SPEED[more["model"]] if not args.tiny else (SPEED[more["model"]][0], 2)
    with joined(pick_device(args.device)) as ranks:
        settings = [f"train.batch={each * ranks.size}", f"train.parallel={more['parallel']}", "train.precision=bf16"]
        if more["parallel"] == "fsdp":  # which cannot find it out by itself
            settings.append(f"train.micro_batch={-(-each // 2)}")
        recipe = load_recipe(name, [*settings, *(SMALL if args.tiny else [])])
        setup, device = section(recipe, "train")(), ranks.device
        configure(device, setup.precision, False)
        state = State.start(recipe, setup, ranks)
        objective = Objective(recipe, state.backbone, setup.precision).through(state.parallel.network())
        update, shape = Update(objective, setup, Guard("raise", device)), (each, *recipe["shape"])
        images = torch.randn(shape, device=device)
        labels = {n: torch.zeros(each, dtype=torch.int64, device=device) for n in state.backbone.labels}
        labels = labels if recipe.get("train.label_dropout") or name != "dim_s_cifar" else {}

        def step() -> None:
            update(state, Batch(images, labels, state.images + each * ranks.rank))

        wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
        for _ in range(1 if args.tiny else 8):
            step()
        wait()
        count, began = 0, time.perf_counter()
        limit = 1.0 if args.tiny else args.seconds
        while not ranks.any(time.perf_counter() - began > limit):
            for _ in range(1 if args.tiny else 5):
                step()
                count += 1
            wait()
        took = time.perf_counter() - began
        if ranks.first:
            memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
            args.out.write_text(json.dumps({
                "images_per_second": round(count * each * ranks.size / took, 1), "updates": count, "images_a_gpu": each,
                "micro_batch": state.micro, "memory_gib": memory and round(memory, 2),
                "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            }))  # fmt: skip
    return 0


def verdicts(results: dict[str, Any], counts: list[int]) -> dict[str, dict[str, Any]]:
    """Each claim, its figure, its bound, and whether it holds; a part that failed holds nothing."""
    found: dict[str, dict[str, Any]] = {}
    one = results.get("loss_1", {}).get("losses", [])
    for n in (n for n in counts if n > 1):
        for kind in ("ddp", "fsdp"):
            other = results.get(f"loss_{kind}_{n}", {}).get("losses", [])
            found[f"loss_{kind}_{n}"] = _near(one, other, BOUNDS[kind])
    resumed = results.get("resumed_1", {}).get("losses", [])
    found["saved_by_many_continued_by_one"] = _near(one, resumed, BOUNDS["resumed"])
    for model in SPEED:
        base = results.get(f"speed_{model}_ddp_1", {}).get("images_per_second")
        for n in (n for n in counts if n > 1):
            rate = results.get(f"speed_{model}_ddp_{n}", {}).get("images_per_second")
            efficiency = rate / base / n if rate and base else None
            goal = BOUNDS["efficiency"] if model == "dim_h" else 0.0
            good = bool(efficiency and efficiency >= goal)
            found[f"efficiency_{model}_{n}"] = {"figure": efficiency, "bound": goal, "good": good}
    return found


def _near(one: list[float], other: list[float], bound: float) -> dict[str, Any]:
    """The largest relative difference of two curves."""
    if not one or len(one) != len(other):
        return {"figure": None, "bound": bound, "good": False, "why": f"{len(one)} and {len(other)} losses"}
    worst = max(abs(a - b) / abs(a) for a, b in zip(one, other))
    return {"figure": worst, "bound": bound, "good": worst <= bound}


PARTS = {"loss": loss, "speed": speed}

if __name__ == "__main__":
    raise SystemExit(main())
