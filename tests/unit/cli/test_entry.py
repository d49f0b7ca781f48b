"""Whatever a command meets, its user sees one line and an exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.cli.entry import command
from zoo.errors import DataError


def full(argv):
    raise OSError(28, "No space left on device", "grid.png")


def wrong(argv):
    raise DataError("there are no images", where="data")


def stopped(argv):
    raise KeyboardInterrupt


@pytest.mark.parametrize(("main", "code", "line"), [
    (full, 2, "error: grid.png: No space left on device"), (wrong, 2, "error: data: there are no images"),
    (stopped, 130, "stopped"),
])  # fmt: skip
def test_it_ends_with_one_line_and_a_code(main, code, line, capsys):
    assert command(main)([]) == code and capsys.readouterr().err == line + "\n"


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, capsys):
    assert command(lambda argv: Path(argv[0]).read_text())([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: ")


def test_a_defect_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command(lambda argv: 1 // 0)([])
