"""The pictures of parts in the docs are what the parts draw of themselves today."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from zoo import registry

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs/parts"


@pytest.fixture(scope="module")
def tool(script):
    return script("draw_parts")


def test_pictures_are_complete_and_up_to_date(tool):
    drawn = tool.pictures(list(tool.DRAW))
    there = {f"{file.parent.name}/{file.name}": file.read_text(encoding="utf-8") for file in FOLDER.rglob("*.svg")}
    assert sorted(there) == sorted(drawn), "run: python tools/draw_parts.py"
    assert not [name for name in drawn if drawn[name] != there[name]], "run: python tools/draw_parts.py"
    assert sum(map(len, there.values())) < 1e6


def test_pictures_are_well_formed_and_name_their_part(tool):
    for name, text in tool.pictures(["padding", "skip", "enhancer", "feedforward"]).items():
        root = ElementTree.fromstring(text)
        assert root.tag.endswith("svg") and root[0].text.startswith(name.removesuffix(".svg").replace("/", " "))


def test_an_order_is_drawn_through_every_cell(tool):
    part = registry.find("scan", "dilated")
    text = tool.scan_picture(part)
    points = [point for line in ElementTree.fromstring(text).iter() if "stroke:hsl" in line.get("style", "")
              for point in line.get("d")[1:].split("L")]
    for rows, columns in ((8, 8), (4, 6)):
        centres = {(c * tool.CELL + tool.CELL // 2, r * tool.CELL + tool.CELL // 2)
                   for r in range(rows) for c in range(columns)}  # fmt: skip
        assert centres <= {tuple(map(int, point.split())) for point in points}


def test_local_mixing_is_drawn_as_far_as_it_reaches(tool):
    """In the middle all cells of the kernel, in the corner those that are there; each form of the part once."""
    text = tool.mixing_picture(registry.find("enhancer", "depthwise_conv"))
    drawn = [len([e for e in group if e.tag.endswith("rect")]) for group in ElementTree.fromstring(text)
             if group.tag.endswith("g")]  # fmt: skip
    assert drawn == [9, 4, 25, 9, 49, 16, 9, 4]  # kernels of 3, 5 and 7, and what is added to the features
    assert text.count("/ 1.00)") == 2, "only a residual one keeps the patch itself"


def test_a_scan_from_a_users_own_folder_is_drawn_as_well(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_catalog", {kind: dict(shelf) for kind, shelf in registry._catalog.items()})
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nfrom zoo.registry import register\n@register('scan', 'mine')\n"
        "def mine(grid):\n    '''Backwards.'''\n    return [np.arange(grid.cells)[::-1]]\n")
    registry.add_plugin(tmp_path)
    assert "<title>scan mine: Backwards.</title>" in tool.pictures(["scan"])["scan/mine.svg"]
