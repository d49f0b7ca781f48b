"""A page for every command, from its --help."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from pathlib import Path

from pages.markdown import fence, prose, table

ROOT = Path(__file__).parents[2]
WIDE = "---\nhide: [toc]\n---"


def commands() -> dict[str, str]:
    """Command -> "module:function", as pyproject.toml installs them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    scripts = text.partition("[project.scripts]")[2].partition("\n[")[0]
    return dict(re.findall(r'^(zoo-[\w-]+)\s*=\s*"([\w.:]+)"', scripts, re.MULTILINE))


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    helps = {name: help_of(target) for name, target in commands().items()}
    rows = [(f"[{name}]({name}.md)", prose(description(text))) for name, text in helps.items()]
    index = "# Commands\n\nEach takes `--help`; exit code 2 means a mistake that the message explains.\n\n"
    written = {f"reference/commands/{name}.md": page(name, text) for name, text in helps.items()}
    return {"reference/commands/index.md": index + table(["command", "what it does"], rows) + "\n", **written}


def page(name: str, text: str) -> str:
    """One command, and its subcommands where the help names some."""
    pieces = [WIDE, f"# {name}", prose(description(text)), fence(text, "text")]
    for sub in subcommands(text):
        below = help_of(commands()[name], sub)
        pieces += [f"## {name} {sub}", fence(below, "text")]
    return "\n\n".join(filter(None, pieces)) + "\n"


def description(text: str) -> str:
    """The first paragraph behind the usage."""
    return " ".join(text.split("\n\n")[1].split()) if text.count("\n\n") else ""


def subcommands(text: str) -> list[str]:
    """The choices of a first positional argument {a,b}."""
    usage = re.sub(r"\[[^\]]*\]", "", text.split("\n\n")[0])
    found = re.search(r"\s\{([\w,-]+)\}\s+\.\.\.", usage)
    return found[1].split(",") if found else []


def help_of(target: str, *words: str) -> str:
    """What `command --help` prints, 100 columns wide."""
    module, _, function = target.partition(":")
    main = getattr(importlib.import_module(module), function)
    printed, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "100"
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*words, "--help"])
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    return printed.getvalue()
