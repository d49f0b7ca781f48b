"""Finding a recipe, and what comes with it."""

import os
import subprocess
import sys

import pytest

from zoo import registry
from zoo.errors import RecipeError
from zoo.recipe import load_recipe, recipes

GOOD = "shape: [3, 8, 8]\nbackbone: {width: 8}\n"


@pytest.fixture
def home(write, tmp_path, monkeypatch, package):
    """A package with recipes beside it."""
    (tmp_path / "zoo").symlink_to(package)
    monkeypatch.setattr(registry, "PACKAGE", tmp_path / "zoo")
    for name in ("dim_s_cifar", "dim_h", "ablations/no_scan", "_base/part", "sub/_hidden"):
        write(f"recipes/{name}.yaml", GOOD)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def test_recipes_have_names(home):
    assert recipes() == ["ablations/no_scan", "dim_h", "dim_s_cifar"]


@pytest.mark.parametrize("name",
                         ["dim_h", "dim_h.yaml", "recipes/dim_h.yaml", "recipes/dim_h", "../recipes/dim_h.yaml"])
def test_every_spelling_of_a_shipped_recipe(home, name):
    assert load_recipe(name).name == "dim_h"


def test_an_installed_package_carries_its_recipes(home, monkeypatch, tmp_path):
    inside = tmp_path / "site" / "zoo"
    (inside / "recipes").mkdir(parents=True)
    (inside / "recipes" / "wheel.yaml").write_text(GOOD)
    monkeypatch.setattr(registry, "PACKAGE", inside)
    assert recipes() == ["wheel"]


def test_a_run_folder_is_a_recipe(write):
    write("runs/a/recipe.yaml", GOOD)
    recipe = load_recipe("runs/a")
    assert (recipe.name, str(recipe.path)) == ("a", os.path.join("runs", "a", "recipe.yaml"))


@pytest.mark.parametrize("name, words", [("dim_s_cifr", "did you mean 'dim_s_cifar'"), ("x", "zoo-list recipes"),
                                         ("nowhere/a.yaml", "there is no recipe file"), ("", "there is no recipe"),
                                         ("a\0b", "there is no recipe"), ("x" * 5000, "there is no recipe")])
def test_an_unknown_name_says_what_there_is(home, name, words):
    with pytest.raises(RecipeError, match=words):
        load_recipe(name)


def test_a_base_may_be_a_bare_name_even_ones_own(home, write):
    assert load_recipe(write("elsewhere/mine.yaml", "extends: dim_h\n")).get("backbone.width") == 8
    assert load_recipe(write("elsewhere/dim_h.yaml", "extends: dim_h\n")).get("backbone.width") == 8
    with pytest.raises(RecipeError, match="did you mean 'dim_h'"):
        load_recipe(write("elsewhere/typo.yaml", "extends: dim_hh\n"))


def test_an_unreadable_file_is_an_error_in_words(write):
    path = write("r.yaml", GOOD)
    path.write_bytes(b"a" * (1 << 21))
    with pytest.raises(RecipeError, match="larger than"):
        load_recipe(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"r.yaml: not text in UTF-8"):
        load_recipe(path)


PLUGIN = "from zoo.registry import register\n@register('mixer', '{0}')\ndef {0}(*, size: int = 3): ...\n"


def test_plugins_are_relative_to_the_recipe_and_survive_saving(write, tmp_path, monkeypatch):
    write("deep/parts/mine.py", PLUGIN.format("mine"))
    write("deep/base.yaml", "plugins: parts\n" + GOOD)
    write("deep/other.py", PLUGIN.format("other"))
    write("deep/r.yaml", "plugins: [other.py]\nextends: base.yaml\nbackbone: {mixer: [mine, other]}\n")
    recipe = load_recipe("deep/r.yaml")
    assert recipe["plugins"] == [str(tmp_path / "deep" / "parts"), str(tmp_path / "deep" / "other.py")]
    write("run/recipe.yaml", recipe.to_yaml())
    monkeypatch.chdir("run")
    assert load_recipe("recipe.yaml").hash == recipe.hash


def test_a_plugin_from_the_command_line(write, base):
    write("mine.py", PLUGIN.format("mine"))
    assert load_recipe(base, ["plugins=[mine.py]", "backbone.mixer=mine"]).get("backbone.mixer.size") == 3


def test_a_missing_or_broken_plugin_names_the_line(write):
    with pytest.raises(RecipeError, match=r"r.yaml:2: plugins: no such plug-in: .*gone.py"):
        load_recipe(write("r.yaml", "title: x\nplugins: [gone.py]\n" + GOOD))
    broken = write("broken.py", "@register(\n")
    for _ in range(2):  # the second attempt must not pass either
        with pytest.raises(RecipeError, match=r"r.yaml:1: plugins: .*broken.py:1: cannot read this part"):
            load_recipe(write("r.yaml", "plugins: [broken.py]\n" + GOOD))
    broken.write_text(PLUGIN.format("mended"))
    assert load_recipe("r.yaml").name == "r"


def test_a_plugin_without_parts_is_an_error(write):
    write("empty/a.py", "x = 3\n")
    with pytest.raises(RecipeError, match=r"r.yaml:1: plugins: .*empty registers no part"):
        load_recipe(write("r.yaml", "plugins: [empty]\n" + GOOD))


def real_recipes():
    return recipes()


@pytest.mark.parametrize("name", real_recipes())
def test_every_shipped_recipe_loads_and_reads_back(real, name):
    from zoo.recipe import Recipe

    recipe = load_recipe(name)
    assert Recipe.from_text(recipe.to_yaml(), name, allow_plugins=True).hash == recipe.hash
    idle = {ablation for ablation in recipe["ablate"] if recipe.ablated(ablation).hash == recipe.hash}
    assert idle <= {"four_way"}, "only a published table may name the full model a second time"


def test_loading_is_quick_and_imports_no_torch(real):
    """One process from nothing: argparse, YAML, parts and recipe."""
    code = (
        "import sys, time; start = time.process_time()\n"
        "import argparse; from zoo.recipe import load_recipe; from zoo.errors import ZooError\n"
        "try: load_recipe('dim_s_cifar', ['train.batch=64'])\n"
        "except ZooError as error: print(error, file=sys.stderr)\n"
        "print(time.process_time() - start, *(m for m in ('torch', 'timm', 'rich', 'numpy') if m in sys.modules))"
    )
    command = [sys.executable, "-c", code]
    said = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(5)]
    assert [words[1:] for words in said] == [[]] * 5, "heavy imports"
    assert min(float(words[0]) for words in said) < 0.5  # 0.16 s on a quiet machine
