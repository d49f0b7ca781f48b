"""How one recipe lies over another."""

import pytest

from zoo.errors import RecipeError
from zoo.recipe import load_recipe
from zoo.recipe.merge import merge
from zoo.recipe.node import node_of, plain
from zoo.recipe.yaml import parse


def merged(base, patch):
    return plain(merge(node_of(base, "base"), node_of(patch, "patch")))


@pytest.mark.parametrize(
    "base, patch, result",
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3}}}, {"a": {"b": {"c": 3, "d": 2}}}),
        ({"a": [1, 2, 3]}, {"a": [4]}, {"a": [4]}),
        ({"a": "conv"}, {"a": {"size": 4}}, {"a": {"use": "conv", "size": 4}}),
        ({"a": {"use": "x", "p": 1}}, {"a": {"q": 2}}, {"a": {"use": "x", "p": 1, "q": 2}}),
        ({"a": {"use": "x", "p": 1}}, {"a": {"use": "x", "q": 2}}, {"a": {"use": "x", "p": 1, "q": 2}}),
        ({"a": {"use": "x", "p": 1}}, {"a": {"use": "y", "q": 2}}, {"a": {"use": "y", "q": 2}}),
        ({"a": "x"}, {"a": {"use": "y", "q": 2}}, {"a": {"use": "y", "q": 2}}),
        ({"a": {"use": "x", "p": 1}}, {"a": "x"}, {"a": "x"}),
        ({"a": {"b": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": ["x", {"use": "y", "p": 1}]}, {"a": {"1": {"p": 2}}}, {"a": ["x", {"use": "y", "p": 2}]}),
        ({"a": ["x", "y"]}, {"a": {"0": {"p": 2}}}, {"a": [{"use": "x", "p": 2}, "y"]}),
        ({"a": ["x"]}, {"a": {"one": 2}}, {"a": {"one": 2}}),
    ],
)
def test_merge(base, patch, result):
    assert merged(base, patch) == result


def test_neither_side_is_changed():
    base, patch = node_of({"a": {"b": [1]}}, "base"), node_of({"a": {"b": {"0": 2}}}, "patch")
    merge(base, patch)
    assert plain(base) == {"a": {"b": [1]}} and plain(patch) == {"a": {"b": {"0": 2}}}


def test_an_element_beyond_the_list_is_an_error():
    with pytest.raises(RecipeError, match=r"^p:1: no element 2 in a list of 2"):
        merge(parse("a: [1, 2]", "b"), parse("a: {2: 3}", "p"))


def test_what_was_overridden_stays_reachable():
    first, second, third = (parse(f"a: {{b: {i}}}", f"f{i}") for i in (1, 2, 3))
    node = merge(merge(first, second), third)["a"]["b"]
    assert [(n.value, n.origin) for n in (node, node.before, node.before.before)] == [
        (3, "f3:1"), (2, "f2:1"), (1, "f1:1")
    ]  # fmt: skip


def test_extends_goes_left_to_right_and_the_file_wins(write):
    write("a.yaml", "shape: [3, 8, 8]\nbackbone: {width: 1, depth: 1}\ntrain: {batch: 1}\n")
    write("sub/b.yaml", "backbone: {width: 2, depth: 2}\n")
    top = write("c.yaml", "extends: [a.yaml, sub/b.yaml]\nbackbone: {width: 3}\n")
    recipe = load_recipe(top)
    assert [recipe.get(k) for k in ("backbone.width", "backbone.depth", "train.batch")] == [3, 2, 1]


def test_a_base_reached_twice_counts_once_and_first(write):
    write("common.yaml", "shape: [3, 8, 8]\nbackbone: {width: 1}\n")
    write("a.yaml", "extends: common.yaml\nbackbone: {width: 2}\n")
    write("b.yaml", "extends: common.yaml\ntrain: {batch: 7}\n")
    recipe = load_recipe(write("c.yaml", "extends: [a.yaml, b.yaml]\n"))
    assert recipe.get("backbone.width") == 2 and recipe.get("train.batch") == 7


def test_extends_is_relative_to_its_file(write, monkeypatch, tmp_path):
    write("deep/down/a.yaml", "extends: ../base.yaml\n")
    write("deep/base.yaml", "shape: [3, 8, 8]\nbackbone: {width: 5}\n")
    monkeypatch.chdir(tmp_path / "deep" / "down")
    assert load_recipe("a.yaml").get("backbone.width") == 5
    monkeypatch.chdir(tmp_path)
    assert load_recipe("deep/down/a.yaml").get("backbone.width") == 5


def test_circles_are_found(write):
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "title: x\nextends: c.yaml\n")
    write("c.yaml", "extends: a.yaml\n")
    with pytest.raises(RecipeError, match=r"c.yaml:1: .*a.yaml -> b.yaml -> c.yaml -> a.yaml"):
        load_recipe("a.yaml")
    with pytest.raises(RecipeError, match="extend each other"):
        load_recipe(write("self.yaml", "extends: self.yaml\n"))


@pytest.mark.parametrize("key", ["extends", "plugins"])
@pytest.mark.parametrize("value",
                         ["https://example.org/a.yaml", "file:///etc/passwd", "[3]", "{a: 1}", "''", "[a, [b]]"])
def test_only_paths_are_followed(write, key, value):
    with pytest.raises(RecipeError, match=rf"a.yaml:1: {key}: "):
        load_recipe(write("a.yaml", f"{key}: {value}\n"))


def test_a_missing_base_is_named_with_its_line(write):
    write("recipes/dim_s.yaml", "")
    with pytest.raises(RecipeError, match=r"a.yaml:2: extends: there is no recipe 'nowhere.yaml'"):
        load_recipe(write("a.yaml", "title: x\nextends: nowhere.yaml\n"))


def test_the_default_part_is_known_when_another_takes_its_place(write):
    """`patch: {size: 8}` means conv; its size must not leak into another part, and must stay with conv."""
    write("a.yaml", "shape: [3, 8, 8]\nbackbone: {width: 1, patch: {size: 8, refine: 1}}\n")
    assert load_recipe("a.yaml", ["backbone.patch.use=unfold"]).get("backbone.patch") == {"use": "unfold", "size": 4}
    assert load_recipe("a.yaml", ["backbone.patch.use=conv"]).get("backbone.patch.size") == 8
    assert load_recipe("a.yaml", ["backbone.use=convnet"])["backbone"] == {"use": "convnet", "width": 8}


def test_null_is_the_way_back_to_the_default(write, base):
    over = write("o.yaml", "extends: base.yaml\nbackbone: {mixer: {conv: null}, patch: null}\ndata: null\n"
                           "ablate: {skips: null}\n")  # fmt: skip
    recipe = load_recipe(over)
    assert recipe.get("backbone.mixer.conv") == 4 and recipe["data"] is None and recipe["ablate"] == {}


def test_null_is_a_value_where_the_type_has_it(base):
    assert load_recipe(base).get("train.clip") == 1.0
    assert load_recipe(base, ["train.clip=null"]).get("train.clip") is None
