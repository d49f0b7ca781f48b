"""Finding parts: on the shelves, in plug-ins, in installed packages, in the running program."""

import subprocess
import sys
from textwrap import dedent

import pytest

from zoo import registry
from zoo.errors import PartError

ONE = """\
from zoo.registry import register
@register('{kind}', '{name}')
def {name}(*, size: int = 3):
    '''{name}, of {kind}.'''
"""


@pytest.fixture(autouse=True)
def package(monkeypatch, tmp_path):
    """An empty registry over a package with one mixer."""
    for name, empty in (("_catalog", {}), ("_aliases", {}), ("_scanned", set()), ("problems", [])):
        monkeypatch.setattr(registry, name, empty)
    root = tmp_path / "package"
    (root / "parts" / "mixer").mkdir(parents=True)
    (root / "parts" / "mixer" / "mamba.py").write_text(ONE.format(kind="mixer", name="mamba"))
    (root / "parts" / "mixer" / "__init__.py").write_text("raise RuntimeError\n")
    monkeypatch.setattr(registry, "PACKAGE", root.resolve())
    registry._installed_plugins.cache_clear()
    registry._import.cache_clear()
    yield root
    registry._installed_plugins.cache_clear()
    registry._import.cache_clear()


@pytest.fixture
def plugin(tmp_path):
    """plugin(name, source) -> path of a new file."""

    def write(name, source):
        path = tmp_path / "plugins" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))
        return path

    return write


def names(kind):
    return [part.name for part in registry.parts(kind)]


def test_a_part_tells_about_itself_without_being_imported(package):
    part = registry.find("mixer", "mamba")
    assert (part.doc, part.fields["size"].default) == ("mamba, of mixer.", 3)
    assert part.where == f"{package / 'parts' / 'mixer' / 'mamba.py'}:3"


def test_a_plugin_has_the_same_rights(plugin):
    registry.add_plugin(plugin("mine.py", ONE.format(kind="mixer", name="mine")))
    assert names("mixer") == ["mamba", "mine"]
    assert registry.find("mixer", "mine").load()() is None


def test_a_folder_of_plugins(plugin):
    plugin("a.py", ONE.format(kind="mixer", name="a"))
    path = plugin("b.py", ONE.format(kind="scan", name="b"))
    plugin("helper.py", "x = 3\n")
    registry.add_plugin(path.parent)
    assert names("mixer") == ["a", "mamba"] and names("scan") == ["b"]


def test_a_folder_with_a_broken_file_says_so_and_reads_the_others(plugin):
    path = plugin("a_broken.py", "@register(\n")
    plugin("b.py", ONE.format(kind="mixer", name="b"))
    with pytest.raises(PartError, match=r"a_broken.py:1"):
        registry.add_plugin(path.parent)
    assert names("mixer") == ["b", "mamba"]


def test_reading_a_plugin_twice_is_reading_it_once(plugin):
    path = plugin("mine.py", ONE.format(kind="mixer", name="mine"))
    registry.add_plugin(path)
    registry.add_plugin(path)
    registry.add_plugin(path.parent / ".." / "plugins" / "mine.py")
    assert names("mixer") == ["mamba", "mine"]


def test_a_duplicate_names_both_files(plugin, package):
    path = plugin("mine.py", ONE.format(kind="mixer", name="mamba"))
    for _ in range(2):
        with pytest.raises(PartError) as caught:
            registry.add_plugin(path)
        assert f"{path}:3: two parts are called mixer 'mamba'" in str(caught.value)
        assert str(package / "parts" / "mixer" / "mamba.py") in str(caught.value)
    assert names("mixer") == ["mamba"]


def test_a_duplicate_in_one_file(plugin):
    with pytest.raises(PartError, match="two parts are called mixer 'a'"):
        registry.add_plugin(plugin("two.py", """
            @register("mixer", "a")
            def one(): ...
            @register("mixer", "a")
            def two(): ...
        """))


def test_aliases(plugin):
    registry.add_plugin(plugin("a.py", "@register('mixer', 'new', aliases=('old', 'older'))\ndef new(): ...\n"))
    assert registry.find("mixer", "old") is registry.find("mixer", "older") is registry.find("mixer", "new")
    assert names("mixer") == ["mamba", "new"]
    for taken in ("'old', 'x'", "'x', aliases=('old',)", "'x', aliases=('mamba',)", "'mamba'"):
        with pytest.raises(PartError, match="two parts are called"):
            registry.add_plugin(plugin("b.py",
                                       f"@register('mixer', {taken})\ndef x(): ...\n".replace("'old', 'x'", "'old'")))


def test_unknown_names_get_a_suggestion():
    with pytest.raises(PartError, match=r"^r.yaml:3: unknown mixer 'mambaa'; did you mean 'mamba'\? allowed: mamba"):
        registry.find("mixer", "mambaa", "r.yaml:3")
    with pytest.raises(PartError, match=r"unknown kind of part 'mixr'; did you mean 'mixer'\?"):
        registry.find("mixr", "mamba")
    with pytest.raises(PartError, match=r"did you mean 'mixer'"):
        registry.register("mixers", "x")


@pytest.mark.parametrize("source, words", [
    ("@register('mixr', 'x')\ndef x(): ...\n", r"bad.py:2: unknown kind of part 'mixr'; did you mean 'mixer'"),
    ("@register('mixer', 'x')\ndef x(*, a): ...\n", "field 'a' has no type"),
    ("x = 3\n", "registers no part"),
])  # fmt: skip
def test_a_bad_plugin_is_an_error_in_words(plugin, source, words):
    with pytest.raises(PartError, match=words):
        registry.add_plugin(plugin("bad.py", source))


def test_a_missing_plugin(tmp_path):
    with pytest.raises(PartError, match="no such plug-in"):
        registry.add_plugin(tmp_path / "gone.py")


def test_a_plugin_that_fails_when_imported_says_so(plugin):
    source = "from zoo.registry import register\n@register('mixer', 'x')\ndef x(): ...\nraise RuntimeError('boom')\n"
    registry.add_plugin(plugin("boom.py", source))
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(PartError, match=r"boom.py: this plug-in fails when it is imported: RuntimeError\('boom'\)"):
            registry.find("mixer", "x").load()
    assert not [m for m in set(sys.modules) - before if "boom" in m]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """installed(name, entry point, {file: source}): a package with an entry point on sys.path."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def install(name, entry, files):
        info = site / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[zoo.parts]\n{name} = {entry}\n")
        for file, source in files.items():
            (site / file).parent.mkdir(parents=True, exist_ok=True)
            (site / file).write_text(source)

    return install


def test_installed_packages_bring_parts(installed):
    installed("zz_module", "zz_module", {"zz_module.py": ONE.format(kind="mixer", name="one")})
    installed("zz_package", "zz_package.parts", {
        "zz_package/__init__.py": "raise RuntimeError('imported without need')\n",
        "zz_package/parts/__init__.py": ONE.format(kind="mixer", name="two"),
        "zz_package/parts/three.py": ONE.format(kind="scan", name="three"),
        "zz_package/other.py": ONE.format(kind="mixer", name="never"),
    })  # fmt: skip
    assert names("mixer") == ["mamba", "one", "two"] and names("scan") == ["three"] and registry.problems == []
    assert registry.find("mixer", "one").load().__module__ == "zz_module"
    with pytest.raises(PartError, match="imported without need"):
        registry.find("mixer", "two").load()


def test_a_broken_package_does_not_stop_the_others(installed):
    installed("zz_gone", "zz_nowhere", {})
    installed("zz_syntax", "zz_syntax", {"zz_syntax.py": "@register(\n"})
    installed("zz_thief", "zz_thief", {"zz_thief.py": ONE.format(kind="mixer", name="mamba")})
    installed("zz_kind", "zz_kind", {"zz_kind.py": ONE.format(kind="mixr", name="x")})
    installed("zz_empty", "zz_empty", {"zz_empty.py": "x = 3\n"})
    installed("zz_half", "zz_half",
              {"zz_half/a.py": "@register(\n", "zz_half/b.py": ONE.format(kind="scan", name="half"),
                                     "zz_half/__init__.py": ""})  # fmt: skip
    installed("zz_good", "zz_good", {"zz_good.py": ONE.format(kind="scan", name="good")})
    assert names("scan") == ["good", "half"] and names("mixer") == ["mamba"]
    told = "\n".join(registry.problems)
    for words in ("zz_gone (zz_nowhere): module 'zz_nowhere' is not installed", "zz_syntax.py:1: cannot read",
                  "two parts are called mixer 'mamba'", "unknown kind of part 'mixr'", "zz_empty registers no part",
                  "zz_half (zz_half): "):  # fmt: skip
        assert words in told
    with pytest.raises(PartError, match=r"plug-ins that failed: .*zz_syntax"):
        registry.find("mixer", "mambaa")


def run(code, *args):
    return subprocess.run([sys.executable, *args], input=code, capture_output=True, text=True)


def test_a_script_registers_its_own_parts(plugin):
    script = plugin("script.py", ONE.format(kind="mixer", name="mine") + dedent("""
        from zoo.registry import find
        part = find("mixer", "mine")
        assert part.load() is mine and part.fields["size"].default == 3 and part.where.endswith("script.py:3")
        try:
            @register("mixer", "mine")
            def other(): ...
        except Exception as error:
            print(type(error).__name__, error)
    """))  # fmt: skip
    done = run("", str(script))
    assert done.returncode == 0 and done.stdout.startswith("PartError"), done.stderr


def test_a_module_imported_before_the_shelf_is_read_is_no_duplicate():
    code = ("import importlib, sys, types; import zoo.registry as r\n"
            "import zoo.parts.scan.raster\nassert any(p.name == 'raster' for p in r.parts('scan'))")  # fmt: skip
    done = run(code, "-")
    assert done.returncode == 0, done.stderr


def test_a_part_without_source_is_refused():
    done = run(ONE.format(kind="mixer", name="mine"), "-")
    assert "PartError: <stdin>: the source of mixer 'mine' cannot be read" in done.stderr


def test_a_notebook_cell_may_run_again():
    import linecache

    def cell(number, default):
        source = ONE.format(kind="mixer", name="mine").replace("= 3", f"= {default}")
        file = f"/nowhere/cell_{number}.py"
        linecache.cache[file] = (len(source), None, source.splitlines(True), file)
        exec(compile(source, file, "exec"), {})

    cell(1, 3)
    cell(1, 3)
    cell(2, 4)
    assert registry.find("mixer", "mine").fields["size"].default == 4


def test_no_kind_is_without_a_place():
    assert set(registry.kinds()) == set(registry.SHELVES) and len(registry.kinds()) > 20


def test_looking_up_a_part_reads_its_file_alone(package, installed):
    (package / "parts" / "mixer" / "other.py").write_text(ONE.format(kind="mixer", name="other"))
    installed("zz_module", "zz_module", {"zz_module.py": ONE.format(kind="mixer", name="one")})
    registry.find("mixer", "mamba")
    assert [p.name for p in registry._catalog["mixer"].values()] == ["mamba"]
    assert registry.find("mixer", "one").name == "one" and names("mixer") == ["mamba", "one", "other"]


def test_a_part_need_not_be_in_a_file_of_its_name(package):
    (package / "parts" / "mixer" / "linear.py").write_text(ONE.format(kind="mixer", name="other"))
    assert registry.find("mixer", "other").name == "other"
    for odd in ("", ".", "../mixer/mamba", "a\0b", "x" * 999, "linear"):
        with pytest.raises(PartError, match="unknown mixer"):
            registry.find("mixer", odd)
