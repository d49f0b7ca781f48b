"""The fenced blocks of a Markdown page, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^( *)(`{3,})([^\n`]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
CONDITION = re.compile(r"<!-- if ([\w./-]+) -->\n(.*?)<!-- end -->\n?", re.DOTALL)
SNIPPET = re.compile(r'^--8<-- "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; `title` is the name of the file that a page gives it."""

    page: str
    line: int
    language: str
    title: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """Every page that people wrote, relative to the repository."""
    docs = sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md"))
    return ["README.md", "CONTRIBUTING.md", *(p for p in docs if not p.startswith("docs/reference/"))]


def blocks(page: str) -> list[Block]:
    """The blocks that a reader of the built page sees."""
    text = shown((ROOT / page).read_text(encoding="utf-8"))
    return [_block(page, text, match) for match in FENCE.finditer(text)]


def shown(text: str) -> str:
    """The page without what depends on files that are not there, snippets put in; lines keep their numbers mostly."""
    there = CONDITION.sub(lambda m: m[2] if any((ROOT / up / m[1]).exists() for up in ("", "docs")) else "", text)
    return SNIPPET.sub(lambda m: (ROOT / m[1]).read_text(encoding="utf-8"), there)


def _block(page: str, text: str, match: re.Match[str]) -> Block:
    language, _, options = match[3].strip().partition(" ")
    title = re.search(r'title="([^"]+)"', options)
    line = text[: match.start()].count("\n") + 1
    return Block(page, line, language.lstrip("."), title[1] if title else "", dedent(match[4]))


def command_lines(block: Block) -> list[str]:
    """The commands of a bash block, without comments, continued lines joined."""
    joined = block.text.replace("\\\n", " ")
    lines = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines()]
    return [command.strip() for line in lines if line for command in line.split(" && ")]
