"""When two recipes are the same."""

import copy
import pickle

import pytest

from zoo.errors import RecipeError
from zoo.recipe import load_recipe
from zoo.recipe.recipe import Recipe

TEXT = "shape: [3, 32, 32]\nbackbone: {width: 8, mixer: {use: mamba, conv: 3}}\ntrain: {lr: 1}\n"


def same(text):
    return Recipe.from_text(text).hash == Recipe.from_text(TEXT).hash


@pytest.mark.parametrize(
    "change",
    [
        ("lr: 1}", "lr: 1.0}"), ("lr: 1}", "lr: 1e0}"),
        ("width: 8", "use: sequence, width: 8"), ("width: 8", "depth: 4, width: 8"),
        ("width: 8", "norm: {eps: 1e-5}, width: 8"),
        ("shape", "title: T\nabout: A\ncite: C\nprovenance: paper\npublished: {fid: 3}\nshape"),
        ("shape", "ablate: {x: {backbone.skip: long_concat}}\nversion: 1\nshape"),
        ("conv: 3}", "conv: 3, state: null}"),
    ],
)  # fmt: skip
def test_what_changes_no_result_changes_no_hash(change):
    assert same(TEXT.replace(*change))


@pytest.mark.parametrize(
    "change", [("width: 8", "width: 9"), ("conv: 3", "conv: 4"), ("lr: 1", "lr: 1.1"), ("32]", "33]"),
               ("width: 8", "norm: layer, width: 8"), ("train", "loss: simple\nsampler: euler\ntrain")]
)  # fmt: skip
def test_what_may_change_a_result_changes_the_hash(change):
    assert not same(TEXT.replace(*change))


def test_the_hash_is_fixed():
    """Runs and weight files carry it: a change of the algorithm is a break and must be meant."""
    recipe = Recipe.from_text(TEXT)
    assert recipe.hash == recipe.digest[:16] and len(recipe.digest) == 64
    assert recipe.hash == "a29de3829b7c7f4e"


def test_yaml_of_a_recipe_has_the_same_hash(base):
    recipe = load_recipe(base, ["title='on: 1e-4'", "train.clip=null", "backbone.limit=.inf"])
    again = Recipe.from_text(recipe.to_yaml(), "again")
    assert again.hash == recipe.hash and again.tree == recipe.tree and again.to_yaml() == recipe.to_yaml()


def test_a_recipe_cannot_be_changed(base):
    recipe = load_recipe(base)
    before = recipe.hash
    recipe.tree["backbone"]["width"] = 1
    recipe["train"]["optimizer"]["betas"].append(3)
    assert recipe.get("backbone.width") == 64 and recipe.tree["train"]["optimizer"]["betas"] == [0.9, 0.999]
    assert recipe.hash == before
    with pytest.raises(AttributeError):
        recipe.name = "other"


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_a_copy_is_the_same_recipe(base, twin):
    recipe = load_recipe(base)
    copied = twin(recipe)
    assert copied.hash == recipe.hash and copied.override(["train.batch=3"]).get("train.batch") == 3
    assert "required" in copied.explain("backbone.width")


def test_diff_is_short(base):
    ours, theirs = load_recipe(base), load_recipe(base, ["backbone.skip=long_concat", "train.lr=1", "title=x"])
    assert ours.diff(theirs) == [
        ("backbone.skip", {"use": "none"}, {"use": "long_concat", "start": 1}),
        ("train.lr", 2e-4, 1.0),
    ]
    assert ours.diff(ours) == []


@pytest.mark.parametrize(
    "override, difference",
    [
        ("data=null", ("data", {"use": "cifar10", "flip": False, "labels": []}, None)),
        ("data.labels=[a]", ("data.labels", [], ["a"])),
        ("train.optimizer.betas.0=0.5", ("train.optimizer.betas.0", 0.9, 0.5)),
        ("backbone.conditioning.embed={t: sinusoid}", ("backbone.conditioning.embed.t", None, {"use": "sinusoid"})),
    ],
)
def test_diff_names_the_key(base, override, difference):
    assert load_recipe(base).diff(load_recipe(base, [override])) == [difference]


def test_an_embedded_recipe_may_not_bring_code(write):
    plug = write("plug.py", "open('canary', 'w')\n@register('mixer', 'mine')\ndef mine(): ...\n")
    text = f"plugins: ['{plug}']\nshape: [3, 8, 8]\nbackbone: {{width: 8, mixer: mine}}\n"
    with pytest.raises(RecipeError, match=r"^weights:1: .*plug.py' is code that this recipe wants to run"):
        Recipe.from_text(text, "weights")
    assert Recipe.from_text(text, allow_plugins=True).get("backbone.mixer.use") == "mine"
    assert not plug.with_name("canary").exists()


@pytest.mark.parametrize("base_name", ["base", "base.yaml", "../base.yaml", "/etc/passwd"])
def test_an_embedded_recipe_reads_no_files(base, base_name):
    with pytest.raises(RecipeError, match="is no shipped recipe"):
        Recipe.from_text(f"extends: {base_name}\n")
