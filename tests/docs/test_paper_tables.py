"""The pages of the paper's tables are what the script writes today."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from zoo.recipe import load_recipe

ROOT = Path(__file__).parents[2]
MARK = re.compile(r" \[[A-Z]\d?\]")


@pytest.fixture(scope="module")
def tool(script):
    return script("paper_tables")


@pytest.fixture(scope="module")
def pages(tool):
    return {path.name: (path, text) for path, text in tool.pages()}


def test_there_is_a_page_for_each_of_the_six_tables_and_all_are_up_to_date(pages):
    assert set(pages) == {f"table{i}.md" for i in range(1, 7)}
    stale = [path.name for path, text in pages.values() if path.read_text(encoding="utf-8") != text]
    assert not stale, "run `python tools/paper_tables.py` and commit what it writes"


@pytest.mark.parametrize(("page", "line"), [
    ("table1.md", ["50M", "50,568,716", "12", "11.90 G", "18.10 G"]),
    ("table1.md", ["860M", "862,407,184", "210", "210.73 G", "310.61 G"]),
    ("table2.md", ["380M", "386,063,376", "94", "93.66 G", "139.10 G", "307M", "2.64"]),
    ("table3.md", ["860M", "863,586,832", "708", "708.17 G", "1,043.84 G", "+15M", "3.94"]),
    ("table4.md", ["-long_skip", "backbone.skip: long_concat -> none", "6.23"]),
    ("table4.md", ["-padding_tokens", "8.39 G", "12.76 G", "2.94"]),
    ("table6.md", ["two_way", "50,568,716", "2.91"]),
])  # fmt: skip
def test_published_and_counted_figures_stand_side_by_side(pages, page, line):
    rows = [[MARK.sub("", cell.strip()) for cell in row.split("|")] for row in pages[page][1].splitlines()]
    assert any(set(line) <= set(row) for row in rows)


def test_every_published_figure_has_a_source_or_says_that_none_was_found(tool, pages):
    for page in tool.MODELS:
        told = [text for m in page.models for text in (m.parameters, m.gflops, m.images, m.fid) if text]
        for text in told:
            assert text == tool.NOT_FOUND or MARK.findall(text)[0].strip(" []") in tool.SOURCES, text
        legend = pages[f"table{page.number}.md"][1]
        for mark in {m.strip(" []") for text in told for m in MARK.findall(text)}:
            assert f"- {mark}: {tool.SOURCES[mark]}" in legend
    for number in (4, 6):
        assert f"FID, published [D{number}]" in pages[f"table{number}.md"][1]


def test_every_zoo_ablate_command_of_a_page_is_one_that_parses(pages):
    from zoo.cli.ablate import parser

    commands = [line for _, text in pages.values() for line in text.splitlines() if line.startswith("zoo-ablate")]
    assert len(commands) == 2
    for line in commands:
        args = parser().parse_intermixed_args(shlex.split(line)[1:])
        assert args.recipe == "dim_s_cifar" and args.count == 50000 and args.seeds == 3


def test_a_measured_figure_appears_beside_the_published_one(tool, tmp_path, monkeypatch):
    protocol = {"model": {"recipe": load_recipe("dim_l_imagenet256").hash}}
    (tmp_path / "a.json").write_text(json.dumps({"protocol": protocol, "metrics": {"FID": 2.713}}))
    monkeypatch.setattr(tool, "RESULTS", tmp_path)
    tool.results.cache_clear()
    try:
        text = tool.model_page(tool.MODELS[1])
    finally:
        tool.results.cache_clear()
    assert "| 2.64 [D2] | 2.71 |" in text
