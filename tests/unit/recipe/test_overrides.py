"""`dotted.key=value` on the command line."""

import pytest

from zoo.errors import RecipeError
from zoo.recipe import Recipe, load_recipe

GOOD = "shape: [3, 32, 32]\nbackbone: {width: 8}\n"


@pytest.mark.parametrize(
    "overrides, key, value",
    [
        (["train.batch=64"], "train.batch", 64),
        (["train.lr=1e-3"], "train.lr", 1e-3),
        (["train.lr=1"], "train.lr", 1.0),
        (["train.batch=1", "train.batch=2"], "train.batch", 2),
        (["data.use=parquet", "data.path=/x"], "data", {"use": "parquet", "path": "/x", "flip": False}),
        (["data.path=/x", "data.use=parquet"], "data", {"use": "parquet", "path": "/x", "flip": False}),
        (["data={use: parquet, path: a=b}"], "data.path", "a=b"),
        (["backbone.mixer=attention"], "backbone.mixer", {"use": "attention", "heads": 8, "bias": False, "conv": 0}),
        (["backbone.mixer=mamba"], "backbone.mixer.conv", 4),
        (["backbone.mixer.use=mamba"], "backbone.mixer.conv", 3),
        (["backbone.mixer.use=attention"], "backbone.mixer.conv", 0),
        (["backbone.mixer.state=8"], "backbone.mixer.conv", 3),
        (["backbone.mixer=[mamba, attention]", "backbone.mixer.0.conv=2"], "backbone.mixer.0.conv", 2),
        (["backbone.mixer=[mamba, {use: attention, heads: 2}]", "backbone.mixer.1.bias=true"],
         "backbone.mixer.1", {"use": "attention", "heads": 2, "bias": True, "conv": 0}),
        (["train.optimizer.betas=[0.5, 0.6]"], "train.optimizer.betas", [0.5, 0.6]),
        (["train.optimizer.betas.1=0.99"], "train.optimizer.betas", [0.9, 0.99]),
        (["backbone.conditioning.embed={label: {use: table, classes: 10}}",
          "backbone.conditioning.embed.label.classes=5"], "backbone.conditioning.embed.label.classes", 5),
        (["backbone.conditioning.embed={label: {use: table, classes: 10}}",
          "backbone.conditioning.embed.label="], "backbone.conditioning.embed", {}),
        (["title='1e-4'"], "title", "1e-4"),
        (["title=12:30"], "title", "12:30"),
        (["backbone.limit=3"], "backbone.limit", 3.0),
        (["process.use=ddpm"], "process.use", "discrete"),
    ],
)  # fmt: skip
def test_override(base, overrides, key, value):
    found = load_recipe(base, overrides).get(key)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("bad",
                         ["train.batch", "=3", ".a=3", "a..b=3", "train.batch=[1", "train.batch={a: 1, a: 2}", "",
                                 "train.batch=!!int 3", "extends=other.yaml", "train..=1", "a" + ".a" * 500 + "=1"])
def test_a_malformed_override_is_an_error_in_words(base, bad):
    with pytest.raises(RecipeError, match=r"^command line: "):
        load_recipe(base, [bad])


def test_an_element_beyond_a_default_list_is_an_error(base):
    with pytest.raises(RecipeError, match=r"^command line: train.optimizer.betas: .*no element 7 in a list of 2"):
        load_recipe(base, ["train.optimizer.betas.7=0.99"])


def test_a_bare_string_of_overrides_is_refused(base):
    with pytest.raises(RecipeError, match="a list of key=value"):
        load_recipe(base, "train.batch=3")


def test_an_unknown_key_names_the_command_line(base):
    with pytest.raises(RecipeError, match=r"^command line: train.bach: unknown field .* did you mean 'batch'\?"):
        load_recipe(base, ["train.bach=3"])


def test_overriding_keeps_what_was_said_before(base):
    recipe = load_recipe(base, ["train.batch=64"]).override(["train.steps=7"]).override({"backbone.mixer": {"conv": 2}})
    assert [recipe.get(k) for k in ("train.batch", "train.steps", "backbone.mixer.conv")] == [64, 7, 2]
    assert "overrode  3 of base.yaml:6" in recipe.explain("backbone.mixer.conv")


def test_overriding_leaves_the_recipe_alone(base):
    recipe = load_recipe(base)
    before = recipe.hash
    assert recipe.override(["train.batch=64"]).hash != before == recipe.hash == load_recipe(base).hash


PRESETS = """presets:
  strong: {guidance: {use: cfg, scale: 4.0}}
  plain: {guidance: none}
"""


def test_a_preset_is_a_named_override_for_sampling():
    recipe = Recipe.from_text(GOOD + PRESETS)
    strong = recipe.preset("strong")
    assert strong["guidance"]["scale"] == 4.0 and recipe.preset("plain")["guidance"] == {"use": "none"}
    assert "set by    inline:" in strong.explain("guidance.scale")
    assert strong.preset("plain")["guidance"] == {"use": "none"}, "presets can be changed for one another"
    with pytest.raises(RecipeError, match=r"no 'strng' among the presets; did you mean 'strong'"):
        recipe.preset("strng")
    with pytest.raises(RecipeError, match="allowed: none"):
        Recipe.from_text(GOOD).preset("fid")


def test_presets_change_no_hash_and_are_written_along():
    plain, recipe = Recipe.from_text(GOOD), Recipe.from_text(GOOD + PRESETS)
    assert recipe.hash == plain.hash != recipe.preset("strong").hash
    assert Recipe.from_text(recipe.to_yaml()).preset("strong")["guidance"]["scale"] == 4.0


def test_a_named_ablation_is_an_override(base):
    recipe = load_recipe(base)
    assert recipe.ablated("skips").get("backbone.skip.use") == "long_concat"
    assert "set by    base.yaml:10" in recipe.ablated("skips").explain("backbone.skip.use")
    with pytest.raises(RecipeError, match=r"did you mean 'skips'"):
        recipe.ablated("skip")
