"""Docstrings and tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ARXIV = re.compile(r"(?:arXiv )?\b(\d{4}\.\d{5})\b")
CODE = re.compile(r"(`[^`]+`)")
LABEL = re.compile(r"(Sources?|Errors|Raises|Legend):")


def prose(text: str) -> str:
    """One line of a docstring: everything outside `code` stands as it was typed, papers become links."""
    return "".join(piece if piece.startswith("`") else _plain(piece) for piece in CODE.split(text))


def _plain(text: str) -> str:
    escaped = re.sub(r"([\\*_<>\[\]|#~^])", r"\\\1", text)
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", escaped)


def docstring(text: str) -> str:
    """A docstring in the house style: paragraphs, and a new one at each Source, Errors and Raises."""
    paragraphs: list[list[str]] = [[]]
    for line in text.strip().splitlines():
        bare = line.strip()
        if not bare or LABEL.match(bare):
            paragraphs.append([])
        paragraphs[-1].append(bare)
    return "\n\n".join(LABEL.sub(r"**\1:**", prose(" ".join(p).strip()), count=1) for p in paragraphs if any(p))


def code(value: object) -> str:
    """Code that may stand in a table."""
    text = str(value)
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}" if text else ""


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; the cells are Markdown already."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("\n", " ") for cell in line) + " |" for line in lines)


def fence(text: str, language: str, indent: int = 0, title: str = "") -> str:
    """A block of code, indented to stand inside another block."""
    head = f'```{language} title="{title}"' if title else f"```{language}"
    ticks = "\n".join([head, *text.rstrip().splitlines(), "```"])
    return "\n".join(" " * indent + line if line else "" for line in ticks.splitlines())


def folded(title: str, body: str) -> str:
    """Something that opens on a click, and that the search leaves out; `body` is Markdown."""
    inside = "\n".join(f"    {line}" if line else "" for line in body.splitlines())
    return f'<div data-search-exclude markdown>\n\n??? note "{title}"\n\n{inside}\n\n</div>'
