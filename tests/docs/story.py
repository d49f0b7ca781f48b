"""A page is a story: its files are written and its commands and Python run in order, in one folder, at small size.

Commands run inside this process, since each would else import torch anew. What is not run has a reason, in NOT_RUN and
the functions of small.py; `left_out` keeps it beside the line.
"""

from __future__ import annotations

import importlib
import io
import runpy
import shlex
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from blocks import Block, blocks, command_lines
from small import NOT_RUN, Why, check, small, targets, words_of

from zoo.recipe import load_recipe
from zoo.recipe.yaml import parse

PYTHON_NOT_RUN = {  # page -> why its Python is not run here
    "docs/eval.md": "measures 1,000 images with an extractor that is an extra; tests/unit/eval does it with few",
}
DONE: set[str] = set()
"""What ran on any page."""
SHELL = ("ls ", "cat ", "mkdir ", "cp ", "head ")


class Story:
    """One page, read to its end in a folder.

    Args:
        given: names that the page's Python takes for granted.
    """

    def __init__(self, page: str, folder: Path, given: dict[str, Any]):
        self.page, self.folder, self.names, self.said = page, folder, dict(given), ""
        self.left_out: dict[str, str] = {}

    def run(self) -> None:
        """Everything, in order; a failure names the line."""
        for block in blocks(self.page):
            act: Callable[[Block], None] | None = getattr(self, block.language, None)
            if block.title:
                self.file(block)
            elif act is not None:
                act(block)

    def file(self, block: Block) -> None:
        """A block with a file's name becomes that file; commands of ours in a batch script are checked."""
        (self.folder / block.title).write_text(block.text, encoding="utf-8")
        if block.language == "bash":
            for line in command_lines(block):
                words = words_of(line)
                if words and words[0].startswith("zoo-"):
                    self.check(words, block, "is for a cluster")

    def python(self, block: Block) -> None:
        """Python without a name runs in the page's one namespace; it lies in a file, where parts are read from."""
        if why := PYTHON_NOT_RUN.get(self.page):
            compile(block.text, str(block), "exec")
            self.left_out[f"{block}: Python"] = why
            return
        file = self.folder / f"line_{block.line}.py"
        file.write_text(block.text, encoding="utf-8")
        exec(compile(block.text, str(file), "exec"), self.names)

    def text(self, block: Block) -> None:
        """What a page shows as output is what was printed; behind `$ command`, what that command prints."""
        if block.text.startswith("$ "):
            shown, _, expected = block.text[2:].partition("\n")
            words, heard = shlex.split(shown), io.StringIO()
            with redirect_stdout(heard), redirect_stderr(heard):
                entry(words[0])(words[1:])
            self.said = heard.getvalue()
        else:
            expected = block.text
        assert expected.partition("...")[0].strip() in self.said, f"{block}: printed was\n{self.said}"

    def yaml(self, block: Block) -> None:
        """YAML is a recipe if it extends one, and anyway well-formed."""
        parse(block.text.encode(), str(block))
        if "extends:" in block.text:
            (self.folder / "block.yaml").write_text(block.text, encoding="utf-8")
            load_recipe(self.folder / "block.yaml")

    def bash(self, block: Block) -> None:
        """Commands, one after another; what they print is kept for the page's next block of output."""
        heard = io.StringIO()
        with redirect_stdout(heard):
            self.commands(block)
        self.said = heard.getvalue()

    def commands(self, block: Block) -> None:
        for line in command_lines(block):
            words = words_of(line)
            if why := next((why for prefix, why in NOT_RUN.items() if line.startswith(prefix)), ""):
                self.left_out[f"{block}: {line}"] = why
            elif words[0].startswith("zoo-"):
                self.command(words, block)
            elif words[0] == "python":
                runpy.run_path(words[1], run_name="__main__")
            elif line.startswith(SHELL):
                subprocess.run(line, shell=True, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)
            else:
                pytest.fail(f"{block}: {line!r} is neither run nor in NOT_RUN")

    def command(self, words: list[str], block: Block) -> None:
        """One of our commands, made small; exit code 0 is expected. What is the same as on another page runs once."""
        smaller = small(words)
        if isinstance(smaller, Why):
            self.check(words, block, smaller)
        elif (line := shlex.join([words[0], *smaller])) not in DONE:
            if words[0] in ("zoo-eval", "zoo-bench"):  # of others, what follows may need the result
                DONE.add(line)
            code = entry(words[0])(smaller)
            assert code == 0, f"{block}: {shlex.join(words)} ended with {code}"

    def check(self, words: list[str], block: Block, why: str) -> None:
        """A command that is not run is at least one that would be accepted."""
        check(words, block)
        self.left_out[f"{block}: {shlex.join(words)}"] = why


def entry(name: str) -> Callable[..., int]:
    """The function behind a command."""
    module, _, function = targets()[name].partition(":")
    return getattr(importlib.import_module(module), function)
