"""Write docs/paper/table1.md ... table6.md: the paper's figures beside ours, and how to fill each cell.

    python tools/paper_tables.py            write the pages
    python tools/paper_tables.py --check    say which are out of date; exit code 1 if any is

Published figures stand here once; ours are counted from the recipes on tensors without memory, and measured ones are
read from the JSON files under docs/results/.
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


@dataclass(frozen=True)
class Model:
    """One line of a published table; texts as the paper has them."""

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
        Model("DiM-S, 25 blocks of width 512", "dim_s_cifar", "50M", "12", "64M"),
        Model("DiM-L, 49 blocks of width 1024", "dim_l_imagenet256", "380M", "94", "307M"),
        Model("DiM-H, 49 blocks of width 1536", "dim_h_imagenet256", "860M", "210", "319M"),
    ], "Inputs of 32 x 32: pixels for S, latents of 256 px images for L and H.", "zoo-list recipes {0} --long"),
    Page(2, "ImageNet at 256 px", [
        Model("U-ViT-L/2", "uvit_l_imagenet256", "287M", "77", "307M", "3.52", "its own report says 3.40"),
        Model("U-ViT-H/2", "uvit_h_imagenet256", "501M", "133", "500M", "2.29", "500k updates of 1,024: 512M images"),
        Model("DiT-XL/2", "dit_xl2_imagenet256", "675M", "119", "1792M", "2.27", "7M updates of 256"),
        Model("DiM-L", "dim_l_imagenet256", "380M", "94", "307M", "2.64"),
        Model("DiM-H", "dim_h_imagenet256", "860M", "210", "319M", "2.40",
              "425k updates of 768: 326M images; the authors list 2.21 after 625k"),
    ], "Class-conditional, guidance of weight 1.4, 50 network calls, FID of 50,000 samples."),
    Page(3, "ImageNet at 512 px", [
        Model("U-ViT-L/4", "uvit_l_imagenet512", "287M", "77", "307M", "4.67", "its own report says 500k updates"),
        Model("U-ViT-H/4", "uvit_h_imagenet512", "501M", "133", "", "4.05", "500k updates of 1,024: 512M images"),
        Model("DiT-XL/2", "dit_xl2_imagenet512", "675M", "524", "768M", "3.04", "its own report says 525 GFlops"),
        Model("DiM-H, fine-tuned", "dim_h_imagenet512", "860M", "708", "+15M", "3.94",
              "15M images at 512 px after those at 256; later tables quote 3.78"),
    ], "Class-conditional, guidance of weight 1.7, 50 network calls, FID of 50,000 samples."),
    Page(5, "CIFAR-10, unconditional", [
        Model("U-ViT-S/2", "uvit_s_cifar", "44M", "", "64M", "3.11", "from its own report"),
        Model("DiM-S", "dim_s_cifar", "50M", "12", "64M", "2.92"),
        Model("Plain Mamba", "mamba_s_cifar", "", "", "", "", "ours: the parameters of DiM-S without its additions"),
    ], "Figures of the paper's own Table 5 are not among the facts that this project was written from, and we do not "
       "guess them. This page gathers the published CIFAR-10 figures that are; 1,000 Euler-Maruyama steps, FID of "
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
    """A published table of models."""
    head = ["model", "parameters, published", "ours", "GFlops, published", "counted their way", "truly",
            "images, published", "FID, published", "ours", "note"]  # fmt: skip
    lines = [[m.name, m.parameters, *_counts(m.recipe, 0), m.gflops, *_counts(m.recipe, 1), m.images, m.fid,
              measured(m.recipe), m.note] for m in page.models]  # fmt: skip
    commands = "\n".join(f"{page.command.format(m.recipe)}  # {m.name}" for m in page.models if known(m.recipe))
    return _text(page.number, page.title, page.about, markdown(head, lines), commands, HOW)


def _counts(recipe: str, which: int) -> list[str]:
    """[parameters] or [multiply-adds their way, truly]; empty for a recipe that is not shipped."""
    if not known(recipe):
        return [""] if which == 0 else ["", ""]
    sizes = size(recipe)
    return [f"{sizes['parameters']:,}"] if which == 0 else [_giga(sizes["paper_macs"] or sizes["macs"]),
                                                            _giga(sizes["macs"])]  # fmt: skip


def ablation_page(number: int, head: str, about: str) -> str:
    """A published table of ablations, and what our studies of the same rows found."""
    recipe = load_recipe(ABLATED)
    changes, figures = rows_of_table(recipe, str(number))
    rows, _ = counted(rows_of(recipe, changes, figures))
    rows = rows if "full" in figures else rows[1:]
    found = studies([row.label for row in rows])
    columns = ["row", "changed", "parameters", "counted their way", "truly", "FID, published"]
    columns += [f"{study['recipe']}: {title(name)}{', difference' * k}" for study in found for name in _metrics(study)
                for k in (0, 1)]  # fmt: skip
    lines = [[row.label, "; ".join(row.against(recipe)), f"{row.counts['parameters']:,}",
              _giga(row.counts["paper_macs"] or row.counts["macs"]), _giga(row.counts["macs"]),
              f"{figures[row.label]:.2f}", *(c for study in found for c in _ours(study, row))]
             for row in rows]  # fmt: skip
    told = [f"- `{s['recipe']}`: {note}" for s in found for note in s["notes"] if not note.startswith("The published")]
    command = f"zoo-ablate {ABLATED} --table {number} --seeds 3 --count 50000 --metrics fid --extractor inception"
    return _text(number, head, about, markdown(columns, lines), command, NOISE, HOW, *told)


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
    """Our FID of a recipe, from any result that names it."""
    for result in results():
        value = result.get("metrics", {}).get("FID") if result.get("recipe") == recipe else None
        if value is not None:
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
