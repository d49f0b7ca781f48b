"""A scan from a separately installed package has the rights of one in the tree: list, recipe, ablation, weights."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent

import pytest

SCAN = '''\
"""Backwards."""

from __future__ import annotations

import numpy as np

from zoo.grid import Grid
from zoo.registry import register


@register("scan", "backwards")
def backwards(grid: Grid, *, columns: bool = False) -> list[np.ndarray]:  # column by column
    """Every block reads from the last cell to the first."""
    cells = np.arange(grid.cells).reshape(-1, grid.height, grid.width)
    return [(cells.transpose(0, 2, 1) if columns else cells).ravel()[::-1]]
'''


@pytest.fixture
def run(tmp_path):
    """run(words or code) in a fresh process that has the package installed; it returns what was printed."""
    site = tmp_path / "site"
    (site / "far_away").mkdir(parents=True)
    (site / "far_away/__init__.py").write_text("")
    (site / "far_away/orders.py").write_text(SCAN)
    info = site / "far_away-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: far-away\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[zoo.parts]\nfar_away = far_away.orders\n")

    def go(*words: str) -> str:
        start = f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = {list(words)!r}\n"
        name = words[0].removeprefix("zoo-")
        code = f"from zoo.cli.{name} import main; sys.exit(main())" if words[0].startswith("zoo-") else words[0]
        words = (sys.executable, "-c", start + dedent(code))
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return go


def test_it_is_listed_with_its_fields(run):
    listed = json.loads(run("zoo-list", "scan", "--json"))
    assert "backwards" in json.dumps(listed)
    assert "columns" in run("zoo-list", "scan", "backwards") and "backwards" in run("zoo-list", "--schema")


def test_a_recipe_an_ablation_and_a_weights_file_use_it(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: dim_s_cifar\nablate: {turned: {backbone.scan: backwards}}\n")
    small = ["backbone.width=32", "backbone.depth=3", "shape=[3, 8, 8]"]
    assert "backwards" in run("zoo-train", "mine.yaml", "--explain", "backbone.scan.use", "backbone.scan=backwards")
    told = run(f"""
        import torch, zoo
        recipe = zoo.load_recipe("mine.yaml", {small!r})
        turned = recipe.ablated("turned").override(["backbone.scan.columns=true"])
        path = zoo.save_pretrained(zoo.build(turned), "out", turned)
        back = zoo.from_pretrained("out").eval()
        x, t = torch.randn(1, 3, 8, 8), torch.zeros(1)
        print(back.recipe.get("backbone.scan"), back(x, t).shape)
    """)
    assert told == "{'use': 'backwards', 'columns': True} torch.Size([1, 3, 8, 8])\n"


def test_a_typo_finds_it(run):
    told = run("""
        import zoo
        try:
            zoo.load_recipe("dim_s_cifar", ["backbone.scan=backward"])
        except zoo.ZooError as error:
            print(error)
    """)
    assert "did you mean 'backwards'" in told
