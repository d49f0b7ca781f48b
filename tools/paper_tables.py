"""Write docs/paper/table1.md ... table6.md: the paper's figures beside ours, and how to fill each cell.

    python tools/paper_tables.py            write the pages
    python tools/paper_tables.py --check    say which are out of date; exit code 1 if any is

Published figures stand here once, each with the mark of its source; ours are counted from the recipes on tensors
without memory, and measured ones are read from the JSON files under docs/results/.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from zoo.ablate.changes import table as rows_of_table
from zoo.ablate.report import difference, mean, title
from zoo.ablate.rows import Row, counted, rows_of
from zoo.ablate.spread import Figure
from zoo.builder import summary
from zoo.recipe import load_recipe, recipes

ROOT = Path(__file__).parents[1]
PAGES, RESULTS = ROOT / "docs/paper", ROOT / "docs/results"
ABLATED = "dim_s_cifar"
FID = "-n 50000 --metrics fid --extractor inception"
HOW = """\
*Counted their way* leaves out what a counter of modules cannot see inside a fused Mamba kernel (short convolution, the
projections to the step, B and C, the scan, the output projection): so the paper's figures of DiM come about, about two
thirds of the true ones; those of transformers are whole. *Truly* counts everything. Both are multiply-adds of one
image, which the papers call FLOPs. Parameters are exact, counted from the recipe. An empty cell has no figure of ours;
the command fills it.
"""


NOT_FOUND = "not found"
"""A published figure of which this project has no source; nothing is guessed."""
SOURCES = {
    "D": "DiM, Teng et al. 2024, arXiv 2405.14224: its training settings, updates times batch",
    "D1": "DiM, Table 1", "D2": "DiM, Table 2", "D3": "DiM, Table 3", "D4": "DiM, Table 4", "D6": "DiM, Table 6",
    "U": "U-ViT, Bao et al. 2023, arXiv 2209.12152, and its list of released models; images: updates times batch",
    "T": "DiT, Peebles & Xie 2023, arXiv 2212.09748, and its list of released models",
    "F": "quoted by FiTv2, Wang et al. 2024, arXiv 2410.13925, Tables IV and VI",
    "C": "quoted by DiCo, Ai et al. 2025, arXiv 2505.11196, its table of ImageNet at 256 px",
}  # fmt: skip
"""Mark behind a published figure -> where it stands."""


@dataclass(frozen=True)
class Model:
    """One line of a published table; texts as the paper has them, each with the mark of its source."""

    name: str
    recipe: str
    parameters: str = ""
    gflops: str = ""
    images: str = ""
    fid: str = ""
    note: str = ""


@dataclass(frozen=True)
class Page:
    """A table of models."""

    number: int
    title: str
    models: Sequence[Model]
    about: str = ""
    command: str = f"zoo-train {{0}} && zoo-eval runs/{{0}} {FID}"


MODELS = [
    Page(1, "Sizes of DiM", [
        Model("DiM-S, 25 blocks of width 512", "dim_s_cifar", "50M [D1]", "12 [D1]"),
        Model("DiM-L, 49 blocks of width 1024", "dim_l_imagenet256", "380M [D1]", "94 [D1]"),
        Model("DiM-H, 49 blocks of width 1536", "dim_h_imagenet256", "860M [D1]", "210 [D1]"),
    ], "Inputs of 32 x 32: pixels for S, latents of 256 px images for L and H.", "zoo-list recipes {0} --long"),
    Page(2, "ImageNet at 256 px", [
        Model("U-ViT-L/2", "uvit_l_imagenet256", "287M [C]", "77 [C]", "307M [U]", "3.52 [D2]",
              "its own report says 3.40 [U]"),
        Model("U-ViT-H/2", "uvit_h_imagenet256", "501M [C]", "133 [C]", "500M [D2]", "2.29 [U]",
              "500k updates of 1,024: 512M images [U]"),
        Model("DiT-XL/2", "dit_xl2_imagenet256", "675M [C]", "119 [T]", "1792M [F]", "2.27 [T]"),
        Model("DiM-L", "dim_l_imagenet256", "380M [D1]", "94 [D1]", "307M [D]", "2.64 [D2]"),
        Model("DiM-H", "dim_h_imagenet256", "860M [D1]", "210 [D1]", "319M [D2]", "2.40 [D2]",
              "425k updates of 768: 326M images [D]; after 625k the authors list 2.21, so quoted [C]"),
    ], "Class-conditional, guidance of weight 1.4, 50 network calls, FID of 50,000 samples."),
    Page(3, "ImageNet at 512 px", [
        Model("U-ViT-L/4", "uvit_l_imagenet512", NOT_FOUND, NOT_FOUND, "300k updates [D3]", "4.67 [U]",
              "its own report says 500k updates [U]"),
        Model("U-ViT-H/4", "uvit_h_imagenet512", "501M [F]", NOT_FOUND, "512M [F]", "4.05 [U]"),
        Model("DiT-XL/2", "dit_xl2_imagenet512", "675M [F]", "524 [D3]", "768M [F]", "3.04 [T]",
              "its own report says 525 GFlops [T]"),
        Model("DiM-H, fine-tuned", "dim_h_imagenet512", "860M [D1]", "708 [D3]", "+15M [D3]", "3.94 [D3]",
              "15M images at 512 px after those at 256; later 3.78 after +26M [F]"),
    ], "Class-conditional, guidance of weight 1.7, 50 network calls, FID of 50,000 samples."),
    Page(5, "CIFAR-10, unconditional", [
        Model("U-ViT-S/2", "uvit_s_cifar", "44M [U]", NOT_FOUND, "64M [U]", "3.11 [U]"),
        Model("DiM-S", "dim_s_cifar", "50M [D1]", "12 [D1]", "64M [D]", "2.92 [D4]"),
        Model("Plain Mamba", "mamba_s_cifar", note="ours: the parameters of DiM-S without its additions"),
    ], "**The paper's own Table 5: not found.** No source that this project could read shows it, and nothing is "
       "guessed. This page gathers the published CIFAR-10 figures that were found; 1,000 Euler-Maruyama steps, FID of "
       "50,000 samples against the training images."),
]  # fmt: skip
ABLATIONS = {
    4: ("What each part is worth", "DiM-S on CIFAR-10 with one part left out at a time."),
    6: ("Scan directions", "DiM-S on CIFAR-10 with four, two and one scan. The paper's Figure 6 shows first samples "
                           "at twice the training size; the command draws them too, as `samples-2x.png`."),
}  # fmt: skip
NOISE = """\
The paper gives no spread. Steps of 0.01 and 0.02 (2.91, 2.92, 2.94) are below the noise of FID and say nothing about
which row is better; those to 6.23 and 17.60 are not.
"""


def pages() -> Iterator[tuple[Path, str]]:
    """(file, text) of every page."""
    for page in MODELS:
        yield PAGES / f"table{page.number}.md", model_page(page)
    for number, (head, about) in ABLATIONS.items():
        yield PAGES / f"table{number}.md", ablation_page(number, head, about)


def model_page(page: Page) -> str:
    """A published table of models, without the columns in which nothing is published."""
    models = page.models
    columns = [("model", [m.name for m in models])]
    for name, told, *own in (
        ("parameters", [m.parameters for m in models], ("ours", [_count(m.recipe) for m in models])),
        ("GFlops", [m.gflops for m in models], ("counted their way", [_macs(m.recipe, "paper_macs") for m in models]),
         ("truly", [_macs(m.recipe, "macs") for m in models])),
        ("images", [m.images for m in models]),
        ("FID", [m.fid for m in models], ("ours", [measured(m.recipe) for m in models])),
    ):
        columns += [(f"{name}, published", told), *own] if any(told) else []
    columns += [("note", [m.note for m in models])] if any(m.note for m in models) else []
    table = markdown([head for head, _ in columns], list(zip(*(cells for _, cells in columns))))
    commands = "\n".join(f"{page.command.format(m.recipe)}  # {m.name}" for m in models if known(m.recipe))
    return _text(page.number, page.title, page.about, table, commands, legend(table), HOW)


def legend(text: str) -> str:
    """The sources whose marks stand in a text."""
    return "\n".join(f"- {mark}: {source}" for mark, source in SOURCES.items() if f"[{mark}]" in text)


def _count(recipe: str) -> str:
    return f"{size(recipe)['parameters']:,}" if known(recipe) else ""


def _macs(recipe: str, which: str) -> str:
    return _giga(size(recipe)[which] or size(recipe)["macs"]) if known(recipe) else ""


def ablation_page(number: int, head: str, about: str) -> str:
    """A published table of ablations, and what our studies of the same rows found."""
    recipe = load_recipe(ABLATED)
    changes, figures = rows_of_table(recipe, str(number))
    rows, _ = counted(rows_of(recipe, changes, figures))
    rows = rows if "full" in figures else rows[1:]
    found = studies([row.label for row in rows])
    columns = ["row", "changed", "parameters", "counted their way", "truly", f"FID, published [D{number}]"]
    columns += [f"{study['recipe']}: {title(name)}{', difference' * k}" for study in found for name in _metrics(study)
                for k in (0, 1)]  # fmt: skip
    lines = [[row.label, "; ".join(row.against(recipe)), f"{row.counts['parameters']:,}",
              _giga(row.counts["paper_macs"] or row.counts["macs"]), _giga(row.counts["macs"]),
              f"{figures[row.label]:.2f}", *(c for study in found for c in _ours(study, row))]
             for row in rows]  # fmt: skip
    told = [f"- `{s['recipe']}`: {note}" for s in found for note in s["notes"] if not note.startswith("The published")]
    command = f"zoo-ablate {ABLATED} --table {number} --seeds 3 --count 50000 --metrics fid --extractor inception"
    table = markdown(columns, lines)
    return _text(number, head, about, table, command, legend(table), NOISE, HOW, *told)


def studies(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Results of zoo-ablate under docs/results/ that have all these rows."""
    found = [result for result in results() if result.get("kind") == "ablation"]
    return [study for study in found if set(labels) <= {row["row"] for row in study["rows"]}]


def _metrics(study: dict[str, Any]) -> list[str]:
    return list(study["rows"][0]["figures"])


def _ours(study: dict[str, Any], row: Row) -> list[str]:
    record = next(r for r in study["rows"] if r["row"] == row.label)
    cells = []
    for name in _metrics(study):
        said = {k: v for k, v in record["figures"].get(name, {}).items() if k != "within_noise"}
        figure = Figure(**said) if said else None
        cells += [mean(figure), difference(figure)]
    return cells


def measured(recipe: str) -> str:
    """Our FID of a recipe, from an eval.json whose protocol has its hash."""
    digest = load_recipe(recipe).hash
    for result in results():
        value = result.get("metrics", {}).get("FID")
        if value is not None and result.get("protocol", {}).get("model", {}).get("recipe") == digest:
            return f"{value:.2f}"
    return ""


@cache
def results() -> list[dict[str, Any]]:
    """Every JSON object under docs/results/."""
    read = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(RESULTS.rglob("*.json"))]
    return [result for result in read if isinstance(result, dict)]


@cache
def size(recipe: str) -> dict[str, int | None]:
    """Parameters and multiply-adds of a shipped recipe."""
    return summary(recipe)


def known(recipe: str) -> bool:
    """Whether the recipe is shipped."""
    return recipe in recipes()


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


def _text(number: int, head: str, about: str, table: str, commands: str, *rest: str) -> str:
    notice = "<!-- Written by tools/paper_tables.py; change that, not this. -->"
    blocks = [notice, f"# Table {number}: {head}", about, table, f"```bash\n{commands}\n```", *rest]
    return "\n\n".join(block.strip() for block in blocks if block) + "\n"


def _giga(macs: int | None) -> str:
    return "" if macs is None else f"{macs / 1e9:,.2f} G"


def main(argv: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser("paper_tables.py", description="Write docs/paper/table1.md to table6.md.")
    p.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    args = p.parse_args(argv)
    stale = [(path, text) for path, text in pages() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path, text in stale:
        print(f"{'out of date' if args.check else 'written'}: {path.relative_to(ROOT)}")
        if not args.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
