"""Write docs/benchmarks.md, and pictures beside the results, from docs/results/bench_*.json.

    python tools/bench_page.py                      # after zoo-bench ... --out docs/results
    python tools/bench_page.py --results DIR --page FILE
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

from zoo.bench.figure import Bars, Chart
from zoo.bench.pictures import draw, pictures
from zoo.bench.results import KINDS, comparable, load, quoted
from zoo.bench.tables import Rows, conditions, tables
from zoo.cli.table import cell_text

ROOT = Path(__file__).parents[1]
TITLES = {"step": "One denoising step", "train": "One update of training", "ops": "Operators",
          "versus": "One scan against one attention"}  # fmt: skip
TABS = {"figure3": "Steps a millisecond", "time": "Time", "tokens": "Time by tokens", "memory": "Memory",
        "speed": "Images a second"}  # fmt: skip
FEW = 6
"""Rows of a table that stays open."""
HEAD = """# Benchmarks

Written by `python tools/bench_page.py` from `docs/results/bench_*.json`; do not edit.
`bash tools/bench_h200.sh` measures everything anew on a GPU.

How it is measured: random weights and inputs, clocks untouched, a warm-up, three rounds in which all networks or
backends take turns; a time is the best of the three rounds' medians, `spread` says how far apart they lie. `graph` is
the replay of a CUDA graph, the GPU's time alone; `eager` is wall time from an idle device. Activations are the peak of
allocated memory above what was allocated before the step. Multiply-adds are counted by formulas registered for each
operator. A crossover is interpolated linearly between the measured sizes; `rounds` has it from each round alone.
The bound of an operator is the longest of three times: its least traffic at the copy bandwidth, its exponentials at the
rate of `ex2`, its multiply-adds at the rate of `fma`, all three measured in the same run.
"""


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Write the page of benchmarks from its results.")
    p.add_argument("--results", type=Path, default=ROOT / "docs/results", metavar="DIR")
    p.add_argument("--page", type=Path, default=ROOT / "docs/benchmarks.md", metavar="FILE")
    args = p.parse_args(argv)
    args.page.parent.mkdir(parents=True, exist_ok=True)
    args.page.write_text(page(args.results, args.page.parent), encoding="utf-8")
    print(f"written: {args.page}")


def page(results: Path, beside: Path) -> str:
    """The page, whose links start in the folder `beside`; pictures are drawn into the folder of the results."""
    paths = sorted(results.glob("bench_*.json"))
    found = [(path, load(path)) for path in paths]
    parts = [HEAD]
    for kind in KINDS:
        for path, result in (pair for pair in found if pair[1]["kind"] == kind):
            parts += [f"## {title(result)}: {result['machine']['device']}\n", *section(path, result, beside)]
    if not found:
        parts.append("Nothing has been measured yet.\n")
    if any(comparable(result) for _, result in found):
        parts.append(f"## Quoted figures\n\n{quoted()['source']}\n")
    return "\n".join(parts)


def title(result: dict[str, Any]) -> str:
    """What was measured, and how it differs from the usual sweep of images."""
    if result["kind"] != "step":
        return TITLES[result["kind"]]
    attention = f", attention by {result['attention']}" if result.get("attention") else ""
    frames = ", along the frames" if result["axis"] == "frames" else ""
    gradients = ", with gradients" if result.get("backward") else ""
    of = " of " + " and ".join(contestant["label"].split(" ")[0] for contestant in result["contestants"][:2])
    return TITLES["step"] + of + frames + gradients + attention


def section(path: Path, result: dict[str, Any], beside: Path) -> Iterator[str]:
    """One result: conditions, pictures, tables."""
    yield f"{conditions(result)}. Data: [{path.name}]({relpath(path, beside)}).\n"
    name = path.stem.removeprefix(f"bench_{result['kind']}_")
    drawn = zip(pictures(result).items(), draw(result, path.parent, name, png=False))
    for (key, chart), file in drawn:
        alt = f"{chart.title}, {chart.where}: {described(chart)}"
        yield f'=== "{TABS.get(key, chart.title)}"\n\n    ![{alt}]({relpath(file, beside)})\n'
    for table in tables(result):
        yield folded(table) if len(table.rows) > FEW else markdown(table)


def described(chart: Chart | Bars) -> str:
    """What is drawn in which units, for those who do not see it."""
    if isinstance(chart, Bars):
        return f"bars of {chart.unit} for {', '.join(name for name, _ in chart.groups)}"
    return f"{chart.y_label} against {chart.x_label} for {'; '.join(line.name for line in chart.lines)}"


def folded(table: Rows) -> str:
    """A long table that opens on a click."""
    title, _, body = markdown(table).partition("\n\n")
    inside = "\n".join(f"    {line}" for line in body.splitlines())
    return f'??? note "{title.strip("*")}"\n\n{inside}\n'


def markdown(table: Rows) -> str:
    """A table in Markdown, its title above."""
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    body = "\n".join("| " + " | ".join(cell_text(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
    return f"**{table.title[0].upper()}{table.title[1:]}**\n\n{body}\n"


if __name__ == "__main__":
    main()
