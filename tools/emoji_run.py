#!/usr/bin/env python
"""A training of `emoji64` on docs/training.md, in figures.

    zoo-train emoji64 train.compile=true --max-minutes 6.5 --out runs/emoji64 | tee runs/emoji64.log
    python tools/emoji_run.py runs/emoji64 --log runs/emoji64.log      # docs/results/emoji64_run.json
    python tools/emoji_run.py --page                                   # its part of docs/training.md
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training_runs import RESULTS, ROOT, fill, speed

NAME, PAGE = "emoji64_run", ROOT / "docs/training.md"
SAID = {
    "parameters": r"model +([\d.]+ M) parameters", "device": r"device +([^,\n]+)",
    "ended": r"(?:stopped by (?!step)|finished)[^;\n]*", "batch": r"updates of (\d+) images", "form": r"(compiled)\n",
}  # fmt: skip
"""What is read from the lines that zoo-train prints."""


def main(argv: Sequence[str] | None = None) -> int:
    """Gather the figures, or write the page."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", type=Path, nargs="?", help="its folder, which holds metrics.csv")
    p.add_argument("--log", type=Path, help="what zoo-train said")
    p.add_argument("--page", action="store_true", help="write the page from docs/results")
    args = p.parse_args(argv)
    path = RESULTS / f"{NAME}.json"
    if not args.page:
        with (args.run / "metrics.csv").open(newline="") as file:
            found = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
        path.write_text(json.dumps(facts(args.log.read_text(), found), indent=1) + "\n")
    fill(PAGE, "emoji_run", section(json.loads(path.read_text())))
    return 0


def facts(said: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """How large, how fast, how far; records of metrics by step."""
    matches = {name: re.search(pattern, said) for name, pattern in SAID.items()}
    told = {name: match[match.lastindex or 0] for name, match in matches.items() if match}
    return {
        "kind": NAME, "recipe": "emoji64", **told, "batch": int(told["batch"]),
        "updates": int(re.findall(r"[\d,]+", told["ended"])[-1].replace(",", "")),
        "images_per_second": round(speed(found)), "mfu": found[-1].get("mfu"),
        "memory_gib": max(r.get("memory_gib", 0) for r in found),
        "looks": [{k: r[k] for k in ("step", "val_ema", "val_constant")} for r in found if "val_ema" in r],
    }  # fmt: skip


def section(run: dict[str, Any]) -> str:
    """A table, and how the held-out loss fell."""
    looks = run["looks"]
    rows = {
        "parameters": run["parameters"], "ended": run["ended"],
        "images seen": f"{run['updates'] * run['batch']:,}", "images/s, median": f"{run['images_per_second']:,}",
        "MFU": f"{run['mfu']:.0%}" if run["mfu"] else "unknown", "memory": f"{run['memory_gib']:.1f} GiB",
        "held-out loss, averaged weights": ", ".join(f"{r['val_ema']:.4f} at {r['step']:,.0f}" for r in looks),
        "held-out loss, best constant per time and class": f"{looks[-1]['val_constant']:.4f}",
    }  # fmt: skip
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"`emoji64`, {run.get('form', 'not compiled')}, one {run['device']}:\n\n| | |\n|---|---|\n{lines}"


if __name__ == "__main__":
    raise SystemExit(main())
