"""A scan in a package that pip installed has the rights of one in the tree: list, recipe, ablation, weights, docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from zipfile import ZipFile

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


INFO = {
    "METADATA": "Metadata-Version: 2.1\nName: far-away\nVersion: 1.0\n",
    "WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "entry_points.txt": "[zoo.parts]\nfar_away = far_away.orders\n",
}
ROOT = Path(__file__).parents[2]
SMALL = ["backbone.width=32", "backbone.depth=3", "shape=[3, 8, 8]"]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Where pip installed the package."""
    pytest.importorskip("pip")
    wheel, site = tmp_path_factory.mktemp("wheel") / "far_away-1.0-py3-none-any.whl", tmp_path_factory.mktemp("site")
    files = {"far_away/__init__.py": "", "far_away/orders.py": SCAN,
             **{f"far_away-1.0.dist-info/{name}": text for name, text in INFO.items()}}  # fmt: skip
    with ZipFile(wheel, "w") as built:
        for name, text in files.items():
            built.writestr(name, text)
        built.writestr("far_away-1.0.dist-info/RECORD", "".join(f"{name},,\n" for name in files))
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", site, wheel]
    subprocess.run([sys.executable, *map(str, install)], check=True)
    return site


@pytest.fixture
def run(site, tmp_path):
    """run(words or code) in a fresh process that has the package installed; it returns what was printed."""

    def go(*words: str) -> str:
        name = words[0].removeprefix("zoo-")
        code = f"from zoo.cli.{name} import main; sys.exit(main())" if words[0].startswith("zoo-") else words[0]
        code = f"import sys; sys.argv = {list(words)!r}\n" + dedent(code)
        paths = os.pathsep.join(map(str, (site, ROOT, ROOT / "tools")))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path,
                              env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return go


def test_it_is_listed_with_its_fields(run):
    listed = json.loads(run("zoo-list", "scan", "--json"))
    assert "backwards" in json.dumps(listed)
    assert "columns" in run("zoo-list", "scan", "backwards") and "backwards" in run("zoo-list", "--schema")


def test_a_recipe_an_ablation_and_a_weights_file_use_it(run, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: dim_s_cifar\nablate: {turned: {backbone.scan: backwards}}\n")
    assert "backwards" in run("zoo-train", "mine.yaml", "--explain", "backbone.scan.use", "backbone.scan=backwards")
    told = run(f"""
        import torch, zoo
        recipe = zoo.load_recipe("mine.yaml", {SMALL!r})
        turned = recipe.ablated("turned").override(["backbone.scan.columns=true"])
        path = zoo.save_pretrained(zoo.build(turned), "out", turned)
        back = zoo.from_pretrained("out").eval()
        x, t = torch.randn(1, 3, 8, 8), torch.zeros(1)
        print(back.recipe.get("backbone.scan"), back(x, t).shape)
    """)
    assert told == "{'use': 'backwards', 'columns': True} torch.Size([1, 3, 8, 8])\n"


def test_an_ablation_has_rows_for_it(run):
    told = run("zoo-ablate", "dim_s_cifar", *SMALL, "train.batch=2", "--set", "backbone.scan=backwards", "--plan",
               "--metrics", "none", "--device", "cpu")  # fmt: skip
    assert "backbone.scan: four_way -> backwards" in told
    swept = run("""
        import zoo
        from zoo.ablate.changes import sweep
        print(*(change.label for change in sweep(zoo.load_recipe("dim_s_cifar"), "scan")), sep="\\n")
    """).splitlines()
    assert {"scan=backwards", "scan=backwards columns=true", "scan=zigzag"} <= set(swept)


def test_the_docs_have_its_page_and_its_picture(run, tmp_path):
    run("""
        from pathlib import Path
        import draw_parts
        from pages import shelves

        Path("scan.md").write_text(shelves.shelf("scan"))
        Path("backwards.svg").write_text(draw_parts.pictures(["scan"])["scan/backwards.svg"])
    """)
    page, picture = ((tmp_path / name).read_text() for name in ("scan.md", "backwards.svg"))
    assert "## `backwards`" in page and "Every block reads from the last cell to the first." in page
    assert "`columns`" in page and "column by column" in page and "np.arange(grid.cells)" in page
    assert "<title>scan backwards: Every block" in picture


def test_a_typo_finds_it(run):
    told = run("""
        import zoo
        try:
            zoo.load_recipe("dim_s_cifar", ["backbone.scan=backward"])
        except zoo.ZooError as error:
            print(error)
    """)
    assert "did you mean 'backwards'" in told
