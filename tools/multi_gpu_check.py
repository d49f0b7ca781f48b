#!/usr/bin/env python
"""Training on several GPUs of one machine: is it the training of one GPU, and how much faster?

    python tools/multi_gpu_check.py --out docs/results/multi_gpu.json        # 4 GPUs, under 6 minutes
    python tools/multi_gpu_check.py --only stopped,continued --out docs/results/multi_gpu.json   # other parts stay
    python tools/multi_gpu_check.py --device cpu --tiny --gpus 1,2 --out rehearsal.json

Every part is a command of its own, `zoo-train --gpus N` and its like, on the first 1, 2 or 4 GPUs: losses of DDP and
FSDP2 against one GPU; a run that SIGTERM ends on 4, that goes on on 2 and ends on 1; samples and figures from several
GPUs; a row of an ablation on each; images a second of DiM-S and DiM-H. The file is written anew after each part, so
whatever fails or takes too long costs itself alone. The exit code is 1 if a claim does not hold.
`tools/reliability.py --page` shows the file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BOUNDS = {"loss_ddp": 1e-4, "loss_fsdp": 1e-4, "loss_graph": 1e-4, "saved_by_several": 1e-4, "efficiency_dim_h": 0.95}
TRAIN = ["quickstart", "train.batch=32", "train.precision=fp32", "train.optimizer.lr=2.0e-4", "train.warmup=5",
         "train.val_every=0", "train.preview_every=0", "train.save_every=0", "train.log_every=1", "train.workers=2",
         "train.max_minutes=0", "backbone.width=256", "backbone.depth=13"]  # fmt: skip
TINY = ["backbone.width=32", "backbone.depth=3", "train.batch=8"]
STOP_AT = "step 10/"
EXTRACTOR = '''
import torch
from torch import nn

from zoo.registry import register


@register("extractor", "coarse_pixels")
class CoarsePixels(nn.Module):
    """Means of 8 x 8 cells: figures of merit that need no weights."""

    name, streams, resize = "coarse_pixels", ("features",), "none"

    def forward(self, pixels, streams):
        return {"features": nn.functional.adaptive_avg_pool2d(pixels.double() / 255, 8).flatten(1)}
'''
Facts = dict[str, Any]


class Part(NamedTuple):
    """A command on some GPUs, and what its result is; `after` must have gone well."""

    name: str
    gpus: int
    command: Callable[[Check], list[str]]
    result: Callable[[Check, str], Facts]
    after: str = ""
    stop_at: str = ""
    limit: float = 75.0


class Check:
    """The parts, what they found, and the clock."""

    def __init__(self, args: argparse.Namespace, folder: Path):
        self.args, self.folder, self.began = args, folder, time.monotonic()
        self.counts = [int(n) for n in args.gpus.split(",")]
        self.most, self.several = max(self.counts), [n for n in self.counts if n > 1]
        known = json.loads(args.out.read_text()) if args.only and args.out.exists() else {}
        self.known: dict[str, Facts] = known.get("verdicts", {})
        self.results: dict[str, Any] = {**known, "bounds": BOUNDS, "gpus": self.counts, "steps": args.steps}
        self.ran: set[str] = set()
        self.device = ["--device", "cpu"] if args.device == "cpu" else []
        self.quick = ["sampler.steps=4"] * args.tiny

    def left(self) -> float:
        return self.args.minutes * 60 - (time.monotonic() - self.began)

    def train(self, run: str, gpus: int, *settings: str, resume: bool = False) -> list[str]:
        """A zoo-train of the small model."""
        said = [*TRAIN, *(TINY if self.args.tiny else []), f"train.steps={self.args.steps}", *settings]
        where = ["--gpus", str(gpus), "--out", str(self.folder / run), *self.device]
        return ["-m", "zoo.cli.train", *said, *where, *(["--resume"] if resume else [])]

    def losses(self, run: str) -> list[float]:
        lines = (self.folder / run / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["loss"] for line in lines]

    def reached(self, run: str) -> int:
        """The step of its newest checkpoint."""
        return max(int(p.name[5:]) for p in (self.folder / run / "checkpoints").glob("step-*"))


def main() -> int:
    """Wave after wave, as long as there is time."""
    args, claims = parser().parse_args(), {}
    with tempfile.TemporaryDirectory() as folder:
        check = Check(args, Path(folder))
        (check.folder / "extractor.py").write_text(EXTRACTOR)
        for wave in wanted(plan(check), args.only):
            with ThreadPoolExecutor(len(wave)) as pool:
                first = [sum(part.gpus for part in wave[:i]) for i in range(len(wave))]
                for part, found in zip(wave, pool.map(lambda a: run(check, *a), zip(wave, first))):
                    if found.get("error", "")[:8] != "left out" or part.name not in check.results:
                        check.results[part.name] = found
                        check.ran.add(part.name)
                    shown = json.dumps({k: v for k, v in found.items() if k != "losses"})[:600]
                    print(f"{time.monotonic() - check.began:5.0f} s  {part.name}: {shown}", flush=True)
            claims = verdicts(check)
            check.results["verdicts"] = {**check.known, **claims}
            check.results["seconds"] = round(time.monotonic() - check.began, 1)
            aside = args.out.with_suffix(".tmp")
            aside.write_text(json.dumps(check.results, indent=1) + "\n")
            os.replace(aside, args.out)
    for claim, found in claims.items():
        print(f"{'holds' if found['good'] else 'FAILS':6} {claim}: {found['figure']} (bound {found['bound']})")
    return 0 if all(found["good"] for found in claims.values()) else 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("multi_gpu.json"))
    p.add_argument("--gpus", default="1,2,4", help="numbers of processes (default 1,2,4)")
    p.add_argument("--steps", type=int, default=100, help="updates of each comparison of losses")
    p.add_argument("--minutes", type=float, default=5.7, help="the whole; what does not fit is left out")
    p.add_argument("--seconds", type=float, default=10.0, help="of each measurement of speed")
    p.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    p.add_argument("--only", default="", metavar="A,B", help="parts whose names begin so, and what they need")
    p.add_argument("--tiny", action="store_true", help="small models, to see that everything runs")
    return p


def plan(check: Check) -> list[list[Part]]:
    """Waves, what matters most first; the parts of one wave run at the same time, on GPUs of their own."""
    most, middle = check.most, check.several[0]
    same = {(kind, n): Part(f"loss_{kind}_{n}", n, lambda c, k=kind, n=n: c.train(f"{k}{n}", n, f"train.parallel={k}",
                                                                                  "train.cuda_graph=false"),
                            lambda c, _, k=kind, n=n: {"losses": c.losses(f"{k}{n}")}, "loss_1")
            for kind in ("ddp", "fsdp") for n in check.several}  # fmt: skip
    one = Part("loss_1", 1, lambda c: c.train("one", 1), lambda c, _: {"losses": c.losses("one")}, limit=120)
    waves = [[one], *abreast([same["ddp", middle], same["fsdp", middle]], most)]
    waves += [[part] for (_, n), part in same.items() if n != middle]
    waves += [[stopped(most)], [speed("dim_h", 1)], [speed("dim_h", most)], apart("dim_h", most)]
    waves += abreast([continued(middle, most), drawn(1), measured(1)], most)
    waves += abreast([continued(1, middle)], most)
    waves += [[drawn(most)], [speed("dim_s", 1)], [speed("dim_s", most)]]
    waves += [[speed(model, n)] for model in ("dim_h", "dim_s") for n in check.several if n != most]
    graph = Part(f"loss_graph_{most}", most, lambda c: c.train("graph", most, "train.cuda_graph=true"),
                 lambda c, _: {"losses": c.losses("graph")}, "loss_1")  # fmt: skip
    captured = [[graph], *([speed(model, n, "graph")] for model in ("dim_h", "dim_s") for n in (1, most))]
    return [*waves, [measured(most)], [ablated(most)], [speed("dim_h", most, "fsdp")], *captured]


def wanted(waves: list[list[Part]], only: str) -> list[list[Part]]:
    """The parts whose names begin so, and those that they come after."""
    needs = {part.name: part.after for wave in waves for part in wave}
    names = {name for name in needs if name.startswith(tuple(only.split(",")))}
    while missing := {needs[name] for name in names} - names - {""}:
        names |= missing
    return [kept for wave in waves if (kept := [part for part in wave if part.name in names])]


def abreast(parts: Sequence[Part], most: int) -> list[list[Part]]:
    """As many at the same time as there are GPUs for."""
    waves: list[list[Part]] = [[]]
    for part in parts:
        if sum(p.gpus for p in waves[-1]) + part.gpus > most and waves[-1]:
            waves.append([])
        waves[-1].append(part)
    return waves


def stopped(n: int) -> Part:
    """A run of FSDP2 that SIGTERM ends."""
    def command(check: Check) -> list[str]:
        return check.train("moved", n, "train.parallel=fsdp", "train.steps=100000")

    return Part(f"stopped_{n}", n, command, lambda c, said: {"step": c.reached("moved"), "said": said[-200:]},
                "loss_1", STOP_AT)  # fmt: skip


def continued(n: int, before: int) -> Part:
    """The same run on other GPUs; to the end on one."""
    after = f"stopped_{before}" if n > 1 else f"continued_{before}"

    def command(check: Check) -> list[str]:
        last = min(check.reached("moved") + 20, check.args.steps - 10) if n > 1 else check.args.steps
        return check.train("moved", n, "train.parallel=fsdp", f"train.steps={last}", resume=True)

    return Part(f"continued_{n}", n, command, lambda c, _: {"losses": c.losses("moved")}, after)


def drawn(n: int) -> Part:
    """Samples of the run on one GPU."""
    def command(check: Check) -> list[str]:
        return ["-m", "zoo.cli.sample", str(check.folder / "one"), *check.quick, "-n", str(32 * check.most), "--batch",
                "16", "--gpus", str(n), "--out", str(check.folder / f"drawn{n}.npz"), *check.device]  # fmt: skip

    return Part(f"drawn_{n}", n, command, lambda c, _: {"images": len(pixels(c, n))}, "loss_1")


def pixels(check: Check, n: int) -> Any:
    """What `drawn(n)` drew."""
    import numpy as np

    with np.load(check.folder / f"drawn{n}.npz") as found:
        return found["arr_0"]


def measured(n: int) -> Part:
    """Its figures of merit, by one process or under torchrun, each with a cache of its own."""
    def command(check: Check) -> list[str]:
        ranks = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n}"] if n > 1 else []
        return [*ranks, "-m", "zoo.cli.eval", str(check.folder / "one"), *check.quick, "-n", str(32 * check.most),
                "--batch", "16", "--plugin", str(check.folder / "extractor.py"), "--extractor", "coarse_pixels",
                "--metrics", "fd", "--out", str(check.folder / f"eval{n}.json"), *check.device]  # fmt: skip

    return Part(f"measured_{n}", n, command,
                lambda c, _: {"metrics": json.loads((c.folder / f"eval{n}.json").read_text())["metrics"]}, "loss_1")


def ablated(n: int) -> Part:
    """As many rows as GPUs."""
    rows = ["long_skip", "enhancer", "padding", "position"][: max(n - 1, 1)]

    def command(check: Check) -> list[str]:
        device = ",".join(["cpu"] * n) if check.args.device == "cpu" else "auto"
        return ["-m", "zoo.cli.ablate", *TRAIN, *TINY, "train.steps=30", *(f"--drop={row}" for row in rows),
                "--metrics", "none", "--shown", "2", "--out", str(check.folder / "ablated"), "--device", device]

    def result(check: Check, said: str) -> Facts:
        lines = [line for line in said.splitlines() if " starts on " in line]
        rows = json.loads((check.folder / "ablated/results.json").read_text())["rows"]
        return {"rows": len(rows), "devices": [line.split(" starts on ")[1].split(",")[0] for line in lines]}

    return Part(f"ablated_{n}", n, command, result)


def speed(model: str, n: int, parallel: str = "ddp", name: str = "") -> Part:
    """Images a second, see scaling.py."""
    name = name or f"speed_{model}_{parallel}_{n}"

    def command(check: Check) -> list[str]:
        args = ["--model", model, "--parallel", parallel, "--seconds", str(check.args.seconds if not check.args.tiny
                else 1), "--out", str(check.folder / f"{name}.json"), *check.device]  # fmt: skip
        args += ["--tiny"] * check.args.tiny
        start = f"from zoo.train.launch import launch; raise SystemExit(launch('scaling', {args!r}, {n}))"
        return ["-c", start] if n > 1 else ["-m", "scaling", *args]

    return Part(name, n, command, lambda c, _: json.loads((c.folder / f"{name}.json").read_text()), limit=90)


def apart(model: str, n: int) -> list[Part]:
    """One process on each GPU, at the same time: what so many do that need not wait for each other."""
    return [speed(model, 1, name=f"apart_{model}_{i}") for i in range(n)]


def run(check: Check, part: Part, first: int) -> Facts:
    """One part on GPUs `first`, `first + 1` ...; whatever goes wrong is its result."""
    seconds, began = min(part.limit if check.args.device == "cuda" else 600, check.left()), time.monotonic()
    if seconds < 12:
        return {"error": "left out, no time"}
    if part.after and "error" in check.results.get(part.after, {"error": ""}):
        return {"error": f"left out, {part.after} failed"}
    try:
        code, said = finished(check, part, first, seconds)
        if code:
            raise RuntimeError(f"exit code {code}: {said[-1500:]}")
        return {**part.result(check, said), "seconds": round(time.monotonic() - began, 1)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}", "seconds": round(time.monotonic() - began, 1)}


def finished(check: Check, part: Part, first: int, seconds: float) -> tuple[int, str]:
    """(exit code, what it said); after `seconds`, or when it has said `stop_at`, it is asked to stop."""
    log = check.folder / f"{part.name}.log"
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-u", *part.command(check)], env=environment(check, part, first),
                                   cwd=check.folder, stdout=out, stderr=subprocess.STDOUT)  # fmt: skip
    deadline, told = time.monotonic() + seconds, False
    while process.poll() is None:
        if part.stop_at and not told and part.stop_at in log.read_text(errors="replace"):
            process.send_signal(signal.SIGTERM)
            told = True
        if time.monotonic() > deadline:
            ended(process)
            raise TimeoutError(f"more than {seconds:.0f} s: {log.read_text(errors='replace')[-1500:]}")
        time.sleep(0.05)
    return process.returncode, log.read_text(errors="replace")


def ended(process: subprocess.Popen) -> None:
    """Asked once, asked again (zoo-train then kills its processes), killed."""
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(6)
            return
        except subprocess.TimeoutExpired:
            continue


def environment(check: Check, part: Part, first: int) -> dict[str, str]:
    """GPUs, paths, and a cache of compiled kernels for all parts; results of zoo-eval are not shared."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(check.most)))
    threads = max(1, (os.cpu_count() or 1) // (2 * check.most))
    paths = [str(ROOT), str(ROOT / "tools"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(threads)),
            "CUDA_VISIBLE_DEVICES": ",".join(given.split(",")[first : first + part.gpus]),
            "ZOO_DATA": str(check.folder / f"data-{part.name}"),
            "ZOO_CACHE": os.environ.get("ZOO_CACHE", str(check.folder / "cache"))}  # fmt: skip


def verdicts(check: Check) -> dict[str, Facts]:
    """Each claim that was looked at, its figure, its bound, and whether it holds; a part that failed holds nothing."""
    results, most = {name: check.results[name] for name in check.ran}, check.most
    one = results.get("loss_1", {}).get("losses", [])
    found = {f"loss_{kind}_{n}": near(one, results[f"loss_{kind}_{n}"].get("losses", []), BOUNDS[f"loss_{kind}"])
             for kind in ("ddp", "fsdp", "graph") for n in check.several if f"loss_{kind}_{n}" in results}  # fmt: skip
    if f"stopped_{most}" in results:
        moved = results.get("continued_1", {}).get("losses", [])
        found["saved_by_several_continued_by_one"] = near(one, moved, BOUNDS["saved_by_several"])
    if f"drawn_{most}" in results:
        found["samples_of_several_differ"] = judged(differing(check), 0.0, lambda share: share == 0)
    if f"measured_{most}" in results:
        metrics = [check.results.get(f"measured_{n}", {}).get("metrics", {}) for n in (1, most)]
        gap = max((abs(b - a) / abs(a) for a, b in zip(*(m.values() for m in metrics))), default=None)
        found["figures_of_several_differ"] = judged(gap, 1e-6, lambda gap: gap <= 1e-6)
    if rows := results.get(f"ablated_{most}"):
        devices = rows.get("devices", [])
        spread = len(set(devices)) if check.args.device == "cuda" else len(devices)
        found["rows_of_an_ablation_on_gpus_of_their_own"] = judged(spread or None, most, lambda n: n == most)
    speeds = [(model, "ddp", n) for model in ("dim_s", "dim_h") for n in check.several]
    for model, kind, n in [*speeds, ("dim_h", "graph", most), ("dim_s", "graph", most)]:
        if f"speed_{model}_{kind}_{n}" in results:
            rates = [results.get(f"speed_{model}_{kind}_{k}", {}).get("images_per_second") for k in (1, n)]
            part = rates[1] / rates[0] / n if all(rates) else None
            goal = BOUNDS["efficiency_dim_h"] if (model, n) == ("dim_h", most) else 0.0
            name = f"efficiency_{model}_{n}" if kind == "ddp" else f"efficiency_{model}_{kind}_{n}"
            found[name] = judged(part, goal, lambda part, goal=goal: part >= goal)
    if "apart_dim_h_0" in results and f"speed_dim_h_ddp_{most}" in check.results:
        rates = [results.get(f"apart_dim_h_{i}", {}).get("images_per_second") for i in range(most)]
        together = check.results[f"speed_dim_h_ddp_{most}"].get("images_per_second")
        part, goal = together / sum(rates) if together and all(rates) else None, BOUNDS["efficiency_dim_h"]
        found["efficiency_beside_as_many_apart"] = judged(part, goal, lambda part: part >= goal)
    return found


def judged(figure: float | None, bound: float, holds: Callable[[float], bool]) -> Facts:
    """A claim; without a figure it does not hold."""
    return {"figure": figure, "bound": bound, "good": figure is not None and bool(holds(figure))}


def near(one: list[float], other: list[float], bound: float) -> Facts:
    """The largest relative difference of two curves."""
    worst = max(abs(a - b) / abs(a) for a, b in zip(one, other)) if one and len(one) == len(other) else None
    return judged(worst, bound, lambda worst: worst <= bound)


def differing(check: Check) -> float | None:
    """The share of bytes that several GPUs drew otherwise than one."""
    if any("images" not in check.results.get(f"drawn_{n}", {}) for n in (1, check.most)):
        return None
    a, b = pixels(check, 1), pixels(check, check.most)
    return float((a != b).mean()) if a.shape == b.shape else 1.0


if __name__ == "__main__":
    raise SystemExit(main())
