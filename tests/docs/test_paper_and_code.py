"""The page about released code and paper text says what the recipes say."""

from __future__ import annotations

import re

import pytest
from blocks import ROOT

from zoo.recipe import load_recipe
from zoo.recipe.explain import brief

PAGE = (ROOT / "docs/explanations/paper-and-code.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[(\w+)\]\(\.\./reference/recipes/\1\.md\)")
SETTING = re.compile(r"`([a-z_]+(?:\.[a-z_]+)+)=([^`]+)`")
FREE = {"guidance.published", "guidance.channels", "train.precision", "sampler.predict"}
"""Settings that a remark recommends or explains; no recipe has them, or only some."""


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def claims() -> list[tuple[str, str, str]]:
    """(recipe, key, value) of every setting on the page."""
    found = []
    for row in rows():
        for column, cell in enumerate(row):
            recipe = "dim_s_cifar_paper" if column == 3 else "dim_s_cifar"
            for piece in re.split(r"(?=\[\w+\]\(\.\./reference/recipes/)", cell):
                named = LINK.match(piece)
                found += [(named[1] if named else recipe, k, v) for k, v in SETTING.findall(piece)]
    return [claim for claim in found if claim[1] not in FREE]


@pytest.mark.parametrize("recipe, key, value", claims())
def test_a_setting_on_the_page_is_the_recipes(recipe, key, value):
    if (key, value) == ("train.steps", "625000"):
        pytest.skip("what the page tells to set, not what the recipe has")
    assert brief(load_recipe(recipe).get(key)) == value


def test_all_33_differences_are_there():
    numbers = {int(row[0]) for row in rows() if row[0].isdigit()}
    assert numbers == set(range(1, 34))


def test_every_recipe_on_the_page_exists():
    for name in LINK.findall(PAGE):
        load_recipe(name)
