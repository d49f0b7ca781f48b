"""Where a value comes from."""

import pytest

from zoo.errors import RecipeError
from zoo.recipe import load_recipe


def test_a_chain_of_origins(base, write):
    top = write("top.yaml", "extends: base.yaml\n\ntrain:\n  lr: 3e-4\n")
    assert load_recipe(top, ["train.lr=1e-3"]).explain("train.lr").splitlines() == [
        "train.lr: 0.001",
        "  set by    command line",
        "  overrode  0.0003 of top.yaml:4",
        "  overrode  0.0002 of base.yaml:8",
        "  type      float",
        "  default   0.0001",
    ]


def test_a_default(base):
    assert load_recipe(base).explain("train.optimizer.lr").splitlines()[:2] == [
        "train.optimizer.lr: 0.0002", "  set by    default of optimizer adamw"
    ]  # fmt: skip


def test_type_and_meaning(base):
    text = load_recipe(base).explain("backbone.width")
    assert "type      int" in text and "required" in text and "meaning   channels of a token" in text


def test_a_part_a_list_and_an_element(base):
    recipe = load_recipe(base)
    assert recipe.explain("backbone.skip").startswith("backbone.skip: {use: none}\n")
    assert recipe.explain("shape.0").startswith("shape.0: 3\n  set by    base.yaml:3")
    assert recipe.explain("ablate.skips.backbone.skip").startswith("ablate.skips.backbone.skip: long_concat\n")


def test_what_null_took_back(base):
    assert "overrode  null of command line" in load_recipe(base,
                                                           ["backbone.mixer.conv="]).explain("backbone.mixer.conv")


@pytest.mark.parametrize(
    "key, words",
    [
        ("train.lrr", r"base: no key 'lrr' in 'train'; did you mean 'lr'\?"),
        ("trian.lr", r"base: no key 'trian'; did you mean 'train'\?"),
        ("train.lr.x", "no key 'x' in 'train.lr'"),
        ("shape.7", "no key '7' in 'shape'"),
        ("backbone.mixer.headz", "no key 'headz' in 'backbone.mixer'"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(base, key, words):
    recipe = load_recipe(base)
    for ask in (recipe.explain, recipe.get, recipe.__getitem__):
        with pytest.raises(RecipeError, match=words):
            ask(key)
    assert recipe.get(key, "fallback") == "fallback"


def test_every_key_of_a_recipe_can_be_explained(base):
    def keys(tree, path=""):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield f"{path}{key}"
            if isinstance(value, (dict, list)):
                yield from keys(value, f"{path}{key}.")

    recipe = load_recipe(base)
    found = list(keys(recipe.tree))
    assert len(found) > 40 and all(recipe.explain(key).startswith(f"{key}: ") for key in found)
