#!/usr/bin/env python
"""Run the tests behind the 34 promises about reliability; write their results, and the page that shows them.

    python tools/reliability.py                   # a seeded tenth of the long trials, some minutes
    python tools/reliability.py --full            # all of them, an hour or two
    python tools/reliability.py --gpu --workers 6 # those that need a GPU, added to what is known
    python tools/reliability.py --only 8,9        # some of them
    python tools/reliability.py --full --at-once 12 --workers 3 --results full.json    # a large machine, minutes
    python tools/reliability.py --page            # only the page, from the results that are there
    python tools/reliability.py --page full.json  # and from those of another machine, which become part of them

Writes docs/results/reliability.json and docs/reliability.md; the exit code is 1 if a test failed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGE = ROOT / "docs/results/reliability.json", ROOT / "docs/reliability.md"
MULTI_GPU = ROOT / "docs/results/multi_gpu.json"


class Promise(NamedTuple):
    """What is promised, the tests that show it, and what a result does not yet show."""

    number: int
    topic: str
    text: str
    tests: Sequence[str] = ()
    gpu: Sequence[str] = ()
    open: str = ""



def promises() -> tuple[Promise, ...]:
    """All of them, from `tools/promises.yaml`."""
    topics = yaml.safe_load((ROOT / "tools/promises.yaml").read_text(encoding="utf-8"))
    return tuple(Promise(number, topic, **said) for topic, rows in topics.items() for number, said in rows.items())


def main(argv: list[str] | None = None) -> int:
    """Run, merge with what was known, write both files."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--full", action="store_true", help="every trial of the long tests")
    p.add_argument("--gpu", action="store_true", help="the tests that need a GPU, and no others")
    p.add_argument("--only", help="numbers of promises, with commas")
    p.add_argument("--workers", type=int, default=1, metavar="N", help="processes, by pytest-xdist (default 1)")
    p.add_argument("--at-once", type=int, default=1, metavar="N", help="promises at the same time (default 1)")
    p.add_argument("--results", type=Path, metavar="FILE", help="write these results alone, and no page")
    p.add_argument("--page", nargs="*", type=Path, metavar="FILE", help="write the page from known results, and these")
    args = p.parse_args(argv)
    place = args.results or RESULTS
    known = json.loads(place.read_text())["promises"] if place.exists() else {}
    for file in args.page or []:
        for number, row in json.loads(file.read_text())["promises"].items():
            known.setdefault(number, {}).update(row)
    if args.page is None:
        chosen = [q for q in promises() if not args.only or str(q.number) in args.only.split(",")]
        work(chosen, known, place, args)
    write(known, place)
    if not args.results:
        PAGE.write_text(page(known), encoding="utf-8")
    rows = [r for row in known.values() for r in row.values()]
    return 1 if any(r["failed"] for r in rows) else 0


def work(chosen: Sequence[Promise], known: dict[str, Any], place: Path, args: argparse.Namespace) -> None:
    """Run the tests of some promises; what is known is written after each."""
    tests = {q.number: q.gpu if args.gpu else q.tests for q in chosen}
    with ThreadPoolExecutor(args.at_once) as pool:
        jobs = {pool.submit(run, files, args.full, args.gpu, args.workers): n for n, files in tests.items() if files}
        for job in as_completed(jobs):
            row = known.setdefault(str(jobs[job]), {})
            row["gpu" if args.gpu else "cpu"] = job.result()
            print(f"{jobs[job]:2} {row}", flush=True)
            write(known, place)


def write(known: dict[str, Any], place: Path) -> None:
    """By number."""
    place.parent.mkdir(parents=True, exist_ok=True)
    ordered = dict(sorted(known.items(), key=lambda item: int(item[0])))
    place.write_text(json.dumps({"promises": ordered}, indent=1) + "\n")


def run(tests: Sequence[str], full: bool, gpu: bool, workers: int) -> dict[str, Any]:
    """Counts of passed, failed and skipped tests, and seconds."""
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": paths, "ZOO_TEST_FULL": "1" if full else "0"}
    spread = ["-n", str(workers)] if workers > 1 else ["-p", "no:xdist"]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", *spread, "-m", "gpu" if gpu else "not gpu",
                   f"--junitxml={report}", *(["--timeout=7200"] if full else []), *tests]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        if not report.exists():
            return {"passed": 0, "failed": 1, "skipped": 0, "why": (done.stdout + done.stderr)[-300:]}
        print(done.stdout[-4000:] if done.returncode else "", end="", flush=True)
        suite = next(xml.parse(report).getroot().iter("testsuite"))
    count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return {"passed": count["tests"] - failed - count["skipped"], "failed": failed, "skipped": count["skipped"],
            "seconds": round(time.monotonic() - began, 1), "trials": "all" if full else "a tenth",
            "on": device() if gpu else platform.machine()}  # fmt: skip


def device() -> str:
    """What the GPU tests ran on."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def page(results: dict[str, Any]) -> str:
    """The page: a table a topic."""
    lines = [
        "# Reliability", "",
        "<!-- written by tools/reliability.py; do not edit -->", "",
        "What training promises, and the tests that show it. Long trials run in full with "
        "`bash tools/test.sh --full`; a seeded tenth of them runs on every change. "
        "`python tools/reliability.py` runs what stands here and writes this page and "
        "`docs/results/reliability.json`, its figures.", "",
    ]  # fmt: skip
    stated = promises()
    topics = list(dict.fromkeys(q.topic for q in stated))
    for topic in topics:
        lines += [f"## {topic}", "", "| | promise | shown by | result |", "|--:|---|---|---|"]
        for q in (q for q in stated if q.topic == topic):
            lines.append(f"| {q.number} | {q.text} | {shown_by(q)} | {result(q, results.get(str(q.number), {}))} |")
        lines.append("")
    if MULTI_GPU.exists():
        lines += ["## Several GPUs", "", *several(json.loads(MULTI_GPU.read_text())), ""]
    return "\n".join(lines)


def shown_by(promise: Promise) -> str:
    """The tests of a promise, by file and name."""
    names = []
    for test in (*promise.tests, *promise.gpu):
        file, _, name = test.partition("::")
        names.append(f"`{name or file.removeprefix('tests/')}`")
    return "<br>".join(names) or "nothing"


def result(promise: Promise, row: dict[str, Any]) -> str:
    """In words."""
    words = []
    for where, found in row.items():
        if not found["failed"] and not found["passed"]:
            words.append(f"only with `--full`: {found['skipped']} tests")
            continue
        failed = f"**{found['failed']} failed**, " if found["failed"] else ""
        on = f" on {found['on']}" if where == "gpu" else ""
        words.append(f"{failed}{found['passed']} passed, {found.get('trials', '')} of the trials{on}")
    if promise.gpu and "gpu" not in row and not promise.open:
        words.append("not run on a GPU yet")
    return "; ".join([*words, *([promise.open] if promise.open else [])]) or "not run yet"


CLAIMS = {
    "loss_ddp": "loss of DDP on {} GPUs, largest relative difference to one",
    "loss_fsdp": "loss of FSDP2 on {} GPUs, the same",
    "loss_graph": "loss of {} GPUs that each replay a CUDA graph, the same",
    "efficiency_dim_s": "scaling efficiency of DiM-S on {} GPUs",
    "efficiency_dim_h": "scaling efficiency of DiM-H on {} GPUs",
    "efficiency_dim_h_graph": "scaling efficiency of DiM-H on {} GPUs that each replay a CUDA graph",
    "efficiency_dim_s_graph": "scaling efficiency of DiM-S on {} GPUs that each replay a CUDA graph",
    "efficiency_beside_as_many_apart": "DiM-H on all of them together, of what as many single runs do at the same time",
    "saved_by_several_continued_by_one": "ended by SIGTERM on {}, continued on {}, then on 1: loss, the same",
    "samples_of_several_differ": "samples drawn by {} GPUs and by one: share of bytes that differ",
    "figures_of_several_differ": "`zoo-eval` on {} GPUs and on one: relative difference",
    "rows_of_an_ablation_on_gpus_of_their_own": "rows of `zoo-ablate` on GPUs of their own",
}  # fmt: skip
"""Claims of `tools/multi_gpu_check.py` in words; a number at the end of a claim is a number of GPUs."""


def several(figures: dict[str, Any]) -> list[str]:
    """The tables of `tools/multi_gpu_check.py`."""
    counts = sorted(figures["gpus"], reverse=True)
    kinds = ("speed_", "apart_")
    speeds = {name: row for name, row in figures.items() if name.startswith(kinds) and "images_per_second" in row}
    device = next((row["device"] for row in speeds.values()), "GPUs")
    rows = [f"`python tools/multi_gpu_check.py` on one machine with {counts[0]} x {device}: every part is a command of "
            f"its own, `zoo-train --gpus N` and its like; losses over {figures['steps']} updates.", "",
            *([figures["note"], ""] if "note" in figures else []),
            "| claim | figure | bound | holds |", "|---|--:|--:|---|"]  # fmt: skip
    for claim, found in figures.get("verdicts", {}).items():
        name, _, n = claim.rpartition("_")
        words = CLAIMS[name].format(n) if name in CLAIMS else CLAIMS[claim].format(*counts[:2])
        figure = "none" if found["figure"] is None else f"{found['figure']:.3g}"
        bound = f"{found['bound']:g}" if found["bound"] or "efficiency" not in claim else "none"
        rows.append(f"| {words} | {figure} | {bound} | {'yes' if found['good'] else '**no**'} |")
    unseen = [words.format(*counts[:2]) for claim, words in CLAIMS.items()
              if not any(seen.startswith(claim) for seen in figures.get("verdicts", {}))]  # fmt: skip
    rows += ["", f"Not seen yet: {'; '.join(unseen)}."] if unseen else []
    rows += ["", "Speed of updates on random inputs in bf16, not compiled, as many images on every GPU:", "",
             "| | images/s | images a GPU | at a time | GiB a GPU |", "|---|--:|--:|--:|--:|"]  # fmt: skip
    rows += [f"| {name.removeprefix('speed_').replace('_', ' ')} | {row['images_per_second']:,.0f} | "
             f"{row['images_a_gpu']} | {row['micro_batch']} | {row['memory_gib']} |"
             for name, row in sorted(speeds.items())]  # fmt: skip
    failed = {name: row["error"] for name, row in figures.items() if isinstance(row, dict) and "error" in row}
    said = [f"- {name}: {error.splitlines()[0][:160]}" for name, error in failed.items()]
    return [*rows, *(["", "What did not run:", "", *said] if failed else [])]


if __name__ == "__main__":
    raise SystemExit(main())
