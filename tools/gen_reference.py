"""The generated part of the documentation, as a hook of MkDocs, or as files with `python tools/gen_reference.py DIR`.

Pages come from the registry, the recipes, the commands and docs/results at build time; nothing of them is committed.
The navigation in mkdocs.yml may name a folder, which stands for every page in it, and pages that are not there (yet).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from pages import commands, kernels, measured, pictures, python, recipes, shelves  # noqa: E402

CONDITION = re.compile(r"<!-- if ([\w./-]+) -->\n(.*?)<!-- end -->\n?", re.DOTALL)
GALLERY = re.compile(r"<!-- gallery (\w+) -->")
CROSSOVER = re.compile(r"<!-- crossover (.+) -->")
MEASURED = re.compile(r"<!-- measured (.+), (.+) -->")


def generate() -> dict[str, str]:
    """Path below docs/ -> Markdown."""
    return {k: v for maker in (shelves, recipes, commands, python) for k, v in maker.pages().items()}


def on_files(files: Any, config: Any) -> Any:
    """MkDocs: add the generated pages, then settle the navigation."""
    from mkdocs.structure.files import File

    for path, text in generate().items():
        files.append(File.generated(config, path, content=text))
    config.nav = settled(config.nav, sorted(file.src_uri for file in files.documentation_pages()))
    return files


def on_page_markdown(text: str, *, page: Any, config: Any, files: Any) -> str:
    """MkDocs: what stands between `<!-- if FILE -->` and `<!-- end -->` stays if that file exists, here or in docs/.

    `<!-- gallery KIND -->` becomes the drawings of a shelf, `<!-- crossover FILE, OURS, OTHER, SIZE -->` two sentences,
    `<!-- measured TABLE, FILE -->` a table of the kernel page.
    """
    docs = Path(config.docs_dir)
    text = CONDITION.sub(lambda m: m[2] if (docs / m[1]).exists() or (ROOT / m[1]).exists() else "", text)
    text = CROSSOVER.sub(lambda m: measured.crossover(*m[1].split(", ")), text)
    text = MEASURED.sub(lambda m: kernels.table(m[1], m[2]), text)
    return GALLERY.sub(lambda m: pictures.gallery(m[1], page.file.src_uri), text)


def settled(nav: Any, pages: list[str]) -> Any:
    """The navigation with folders filled in, and without pages that do not exist."""
    if isinstance(nav, list):
        return [item for entry in nav for item in _entries(entry, pages)]
    return nav


def _entries(entry: Any, pages: list[str]) -> list[Any]:
    if isinstance(entry, str):
        return inside(entry, pages) if entry.endswith("/") else [entry] * (entry in pages)
    ((title, value),) = entry.items()
    if isinstance(value, list):
        below = settled(value, pages)
        return [{title: below}] if below else []
    return [{title: inside(value, pages)}] if value.endswith("/") else [entry] * (value in pages)


def inside(folder: str, pages: list[str]) -> list[str]:
    """The pages below a folder, its index first."""
    found = [page for page in pages if page.startswith(folder)]
    return sorted(found, key=lambda page: (page != f"{folder}index.md", page))


def main(argv: list[str]) -> None:
    """Write the pages below a folder, to look at their Markdown."""
    target = Path(argv[0])
    for path, text in generate().items():
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
