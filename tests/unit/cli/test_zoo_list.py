"""`zoo-list`: what it shows, and how commands fail."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from zoo import registry
from zoo.cli import listing
from zoo.cli.entry import command
from zoo.cli.list import main
from zoo.errors import RecipeError
from zoo.recipe import load_recipe

PART = "from zoo.registry import register\n@register('{0}', '{1}')\ndef f({2}):\n    '''The {1} {0}.'''\n"
SHELF = [
    ("backbones/a.py", "backbone", "sequence", "*, width: int,  # channels\n mixer: Make[Mixer] = 'mamba'"),
    ("parts/mixer/a.py", "mixer", "mamba", "*, conv: int = 4,  # width of the kernel\n gate: Literal['a', 'b'] = 'a'"),
    ("parts/mixer/b.py", "mixer", "attention", ""),
    ("diffusion/process/a.py", "process", "vp_sde", ""),
    ("diffusion/loss/a.py", "loss", "simple", ""),
    ("diffusion/time/a.py", "time", "uniform", ""),
    ("diffusion/sampler/a.py", "sampler", "euler_maruyama", "*, steps: int = 1000"),
    ("diffusion/guidance/a.py", "guidance", "none", ""),
    ("autoencoders/a.py", "autoencoder", "identity", ""),
    ("train/settings.py", "train", "default", "*, lr: float = 1e-4, clip: float | None = 1.0, "
     f"names: list[str] = {[f'a rather long name {i}' for i in range(9)]}"),
]


@pytest.fixture(autouse=True)
def package(monkeypatch, tmp_path):
    """A small zoo with two recipes, and an empty current folder."""
    for name, empty in (("_catalog", {}), ("_aliases", {}), ("_scanned", set()), ("problems", [])):
        monkeypatch.setattr(registry, name, empty)
    root = (tmp_path / "zoo").resolve()
    monkeypatch.setattr(registry, "PACKAGE", root)
    for file, kind, name, arguments in SHELF:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(PART.format(kind, name, arguments))
    (root / "recipes" / "_base").mkdir(parents=True)
    (root / "recipes" / "_base" / "b.yaml").write_text("provenance: paper\ncite: 'A, B'\nshape: [3, 8, 8]\n")
    (root / "recipes" / "dim.yaml").write_text(
        "extends: _base/b.yaml\ntitle: 'D: m'\nbackbone: {width: 8, mixer: {conv: 3}}\n")
    (root / "recipes" / "plain.yaml").write_text("shape: [3, 8, 8]\nbackbone: {width: 8}\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return root


@pytest.fixture
def zoo_list(capsys):
    """zoo_list(*words) -> what it prints; it must succeed."""

    def call(*words):
        assert main(words) == 0
        return capsys.readouterr().out

    return call


def fails(capsys, *words):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == "" and all(line.startswith("error: ") for line in err.splitlines())
    return err


def test_all_kinds_and_recipes(zoo_list):
    text = zoo_list()
    assert "mixer         2      attention mamba\n" in text and text.endswith("recipe\n  dim\n  plain\n")


def test_the_parts_of_a_kind(zoo_list):
    assert zoo_list("mixer").splitlines()[2:] == ["  attention  The attention mixer.", "  mamba      The mamba mixer."]
    assert "attention" not in zoo_list("mixer", "m*")


def test_the_fields_of_a_part(zoo_list, package):
    assert zoo_list("mixer", "mamba").splitlines() == [
        "mixer mamba: The mamba mixer.", f"{package}/parts/mixer/a.py:3",
        "  field  type       default  what it does",
        "  conv   int        4        width of the kernel",
        "  gate   'a' | 'b'  a",
    ]  # fmt: skip


def test_recipes_and_patterns(zoo_list):
    assert "dim     paper       D: m" in zoo_list("recipes")
    assert "plain" not in zoo_list("recipes", "d*")
    assert "mixer    mamba" in zoo_list("*m*") and "dim" in zoo_list("*m*")


def test_a_broken_recipe_stands_in_the_list_with_its_mistake(zoo_list, package):
    (package / "recipes" / "broken.yaml").write_text("a: [")
    assert "cannot be read: " in zoo_list("recipes") and "dim " in zoo_list("recipes")


def test_long_counts(zoo_list, monkeypatch):
    builder = type(sys)("zoo.builder")
    builder.summary = lambda recipe: {"parameters": 50_000_000, "macs": 12_345, "paper_macs": None}
    monkeypatch.setitem(sys.modules, "zoo.builder", builder)
    assert "50,000,000  12,345" in zoo_list("recipes", "dim", "--long")
    row = json.loads(zoo_list("--long", "--json"))[0]
    assert row["parameters"] == 50_000_000 and row["as the paper counted"] is None


def test_long_counts_each_part_in_its_slot_of_one_recipe(zoo_list, monkeypatch):
    seen = []
    builder = type(sys)("zoo.builder")
    builder.summary = lambda recipe: seen.append(recipe.get("backbone.mixer.use")) or {
        "parameters": 50_000_000, "macs": 12_345, "paper_macs": None}
    monkeypatch.setitem(sys.modules, "zoo.builder", builder)
    monkeypatch.setattr(listing, "REFERENCE", "dim")
    monkeypatch.setattr(listing, "load_recipe", lambda name, overrides=(): load_recipe("plain", overrides))
    text = zoo_list("mixer", "--long")
    assert seen == ["attention", "mamba"] and "each in dim" in text and text.count("50,000,000  12,345") == 2
    assert "parameters" not in zoo_list("sampler", "--long") and len(seen) == 2


def test_json_is_for_programs(zoo_list):
    assert [r["mixer"] for r in json.loads(zoo_list("mixer", "--json"))] == ["attention", "mamba"]
    assert set(json.loads(zoo_list("--json"))) == {"kinds", "recipes"}
    assert "$defs" in json.loads(zoo_list("--schema"))


def test_citation(zoo_list, capsys):
    assert zoo_list("--cite", "dim") == "A, B\n"
    assert "names no paper" in fails(capsys, "--cite", "plain")


def test_a_copy_is_small_and_the_same(zoo_list, capsys):
    zoo_list("--copy", "dim", "mine.yaml")
    assert load_recipe("mine.yaml").hash == load_recipe("dim").hash
    assert load_recipe("mine.yaml")["title"] == "D: m, changed"
    assert "exists already" in fails(capsys, "--copy", "dim", "mine.yaml")
    assert "cannot write" in fails(capsys, "--copy", "dim", "no/where.yaml")


def test_the_hints_of_a_copy_are_right(zoo_list):
    zoo_list("--copy", "dim", "mine.yaml")
    head, _, hints = Path("mine.yaml").read_text().partition("stands under.\n")
    text = head + "stands under.\n" + "\n".join(line.removeprefix("# ") for line in hints.splitlines())
    Path("open.yaml").write_text(text)
    assert "\n  mixer: {use: mamba, conv: 3, gate: a}\n" in text
    assert load_recipe("open.yaml").hash == load_recipe("dim").hash


def test_a_copy_of_a_file_and_of_ones_own_name(zoo_list):
    zoo_list("--copy", "dim", "dim.yaml")
    os.mkdir("sub")
    zoo_list("--copy", "dim.yaml", "sub/mine.yaml")
    assert load_recipe("sub/mine.yaml").hash == load_recipe("plain", ["backbone.mixer.conv=3"]).hash


@pytest.mark.parametrize("words, message", [
    (["mixr"], "did you mean 'mixer'?"), (["mixer", "mamab"], "did you mean 'mamba'?"),
    (["--cite", "dmi"], "did you mean 'dim'?"),
    (["--copy", "dmi", "x.yaml"], "did you mean 'dim'?"),
])  # fmt: skip
def test_a_mistake_is_one_message(capsys, words, message):
    assert message in fails(capsys, *words)


def test_a_terminal_gets_a_drawn_table(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    listed = listing.part_table("mixer")
    from zoo.cli.table import show

    show([listed])
    assert "The mamba mixer." in capsys.readouterr().out


def test_broken_plugins_are_warned_about(capsys):
    registry.problems.append("x (y): z")
    main(["mixer"])
    assert "warning: plug-in x (y): z" in capsys.readouterr().err


@pytest.mark.parametrize("raised, code, words", [
    (RecipeError("a\nb"), 2, "error: a\nerror: b\n"), (KeyboardInterrupt(), 130, "stopped\n"),
])  # fmt: skip
def test_every_command_fails_in_words(capsys, raised, code, words):
    @command
    def broken(argv=None):
        raise raised

    assert broken([]) == code and capsys.readouterr().err == words


def test_other_errors_are_bugs_and_keep_their_traceback():
    @command
    def broken(argv=None):
        raise KeyError("x")

    with pytest.raises(KeyError):
        broken([])


def run(words, **more):
    return subprocess.run(f"{sys.executable} -m zoo.cli.list {words}", shell=True, capture_output=True, text=True,
                          **more)


def test_a_closed_pipe_is_quiet():
    done = run("--schema | head -c 10")
    assert done.stdout == '{\n  "$sche' and done.stderr == ""


def test_help_has_examples_and_imports_nothing_heavy():
    done = run("--help")
    assert "zoo-list mixer mamba" in done.stdout and done.returncode == 0
    code = "import sys, zoo.cli.list; print(*(m for m in ('torch', 'rich', 'numpy', 'timm') if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"
