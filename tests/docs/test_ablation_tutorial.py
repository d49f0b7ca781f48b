"""The tutorial on ablations shows what was measured, and its commands are ones that zoo-ablate takes."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

from zoo.ablate.report import difference, mean
from zoo.ablate.spread import Figure
from zoo.cli.ablate import parser
from zoo.cli.ablation import study_of

DOCS = Path(__file__).parents[2] / "docs"
TUTORIAL = (DOCS / "tutorials/ablation.md").read_text(encoding="utf-8")
RESULT = json.loads((DOCS / "results/ablation_emoji.json").read_text(encoding="utf-8"))
COMMANDS = re.findall(r"^zoo-ablate .*", TUTORIAL, re.MULTILINE)


def test_its_table_and_pictures_are_the_committed_ones():
    assert (DOCS / "results/ablation_emoji.md").read_text(encoding="utf-8") in TUTORIAL
    for picture in re.findall(r"\]\((\.\./results/[^)]+)\)", TUTORIAL):
        assert (DOCS / "tutorials" / picture).resolve().is_file()
    for row in RESULT["rows"]:
        figure = Figure(**{k: v for k, v in row["figures"]["val"].items() if k != "within_noise"})
        assert f"| {mean(figure)} | {difference(figure)} |" in TUTORIAL


def test_the_command_that_it_shows_is_the_one_that_made_its_result():
    assert RESULT["command"] in COMMANDS and f"{RESULT['command']} --plan" in COMMANDS
    args = parser().parse_intermixed_args(shlex.split(RESULT["command"])[1:])
    study, _ = study_of(args)
    assert [row.label for row in study.rows] == [row["row"] for row in RESULT["rows"]]
    assert study.base.recipe.get("train.steps") * 16 == RESULT["images"]
    assert [row.against(study.base.recipe) for row in study.rows] == [row["changed"] for row in RESULT["rows"]]


def test_every_command_asks_for_rows_that_exist():
    assert len(COMMANDS) > 8
    for line in COMMANDS:
        study, _ = study_of(parser().parse_intermixed_args(shlex.split(line, comments=True)[1:]))
        assert len(study.rows) > 1
