"""A recipe against its parts: what is filled in, and every mistake with its place."""

import pytest

from zoo.errors import RecipeError
from zoo.recipe import load_recipe
from zoo.recipe.recipe import Recipe

GOOD = "shape: [3, 32, 32]\nbackbone: {width: 8}\n"


def errors(text):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_text(text, "r.yaml")
    return str(caught.value).splitlines()


def only(text):
    found = errors(text)
    assert len(found) == 1, found
    return found[0]


def test_every_default_is_filled_in():
    tree = Recipe.from_text(GOOD).tree
    assert tree["backbone"]["use"] == "sequence" and tree["backbone"]["depth"] == 4
    assert tree["backbone"]["mixer"] == {"use": "mamba", "state": 16, "conv": 4, "dt_min": 0.001,
                                         "directions": ["forward"]}  # fmt: skip
    assert tree["backbone"]["norm"] == {"use": "layer", "eps": 1e-5, "affine": False}
    assert tree["train"]["optimizer"] == {"use": "adamw", "lr": 2e-4, "betas": [0.9, 0.999]}
    assert tree["data"] is None and tree["guidance"] == {"use": "none"} and tree["version"] == 1
    assert list(tree)[:3] == ["version", "title", "about"]


def test_a_part_without_use_is_the_default_of_its_slot():
    get = Recipe.from_text("shape: [3, 8, 8]\nbackbone: {width: 8, patch: {size: 4}, norm: {eps: 1}}\n").get
    assert get("backbone.patch") == {"use": "conv", "size": 4, "refine": 0}
    assert get("backbone.norm") == {"use": "layer", "eps": 1.0, "affine": False}


def test_a_default_that_is_named_again_starts_afresh():
    assert Recipe.from_text(GOOD.replace("8}", "8, norm: layer}")).get("backbone.norm.affine") is True
    assert Recipe.from_text(GOOD.replace("8}", "8, norm: {use: layer}}")).get("backbone.norm.affine") is True


def test_the_only_part_of_a_shelf_needs_no_name():
    tree = Recipe.from_text(GOOD + "loss: {}\nautoencoder: {use: null}\n").tree
    assert tree["loss"] == {"use": "simple"} and tree["autoencoder"] == {"use": "identity"}


def test_without_default_and_with_a_choice_the_name_is_needed():
    line = only("shape: [3, 8, 8]\nbackbone:\n  width: 8\n  conditioning:\n    embed:\n      label: {classes: 3}\n")
    assert line.startswith("r.yaml:6: backbone.conditioning.embed.label: say which embed with `use`")
    assert "sinusoid, table" in line
    assert only(GOOD + "data: {flip: true}\n").startswith("r.yaml:3: data: say which dataset")


def test_all_mistakes_come_at_once_each_with_its_line():
    found = errors("""\
titel: x
shape: [3, 32, 32]
backbone:
  wdth: 8
  mixer: {use: mamab}
  norm: {use: rms, esp: 1}
  tokens_at: fornt
  patch: {size: 2.0}
train:
  lr: fast
  batch: true
sampler: 3
version: 2
""")
    assert found[0].startswith("r.yaml:1: titel: unknown field of a recipe; did you mean 'title'? allowed: extends, ")
    assert "r.yaml:13: version: this zoo reads recipes of version 1, not 2" in found
    starts = [line.split(": ", 2)[:2] for line in found]
    assert sorted(map(tuple, starts)) == sorted([
        ("r.yaml:1", "titel"),
        ("r.yaml:4", "backbone.wdth"),
        ("r.yaml:3", "backbone.width"),
        ("r.yaml:5", "backbone.mixer"),
        ("r.yaml:6", "backbone.norm.esp"),
        ("r.yaml:7", "backbone.tokens_at"),
        ("r.yaml:8", "backbone.patch.size"),
        ("r.yaml:10", "train.lr"),
        ("r.yaml:11", "train.batch"),
        ("r.yaml:12", "sampler"),
        ("r.yaml:13", "version"),
    ])  # fmt: skip


@pytest.mark.parametrize(
    "text, words",
    [
        ("mixer: {use: mamba, headz: 3}",
         "r.yaml:3: backbone.mixer.headz: unknown field of mixer mamba; allowed: state, conv"),
        ("mixer: {use: attention, headz: 3}", "did you mean 'heads'? allowed: heads, bias, conv"),
        ("mixer: mamb",
         "r.yaml:3: backbone.mixer: unknown mixer 'mamb'; did you mean 'mamba'? allowed: attention, mamba"),
        ("mixer: [mamba, atention]", "r.yaml:3: backbone.mixer.1: unknown mixer 'atention'; did you mean 'attention'?"),
        ("skip: {use: none, start: 1}", "backbone.skip.start: unknown field of skip none; allowed: no fields"),
        ("patch: none", "unknown patch 'none'; allowed: conv, unfold"),
        ("patch: {use: 3}", "backbone.patch: say which patch with `use`; allowed: conv, unfold"),
        ("patch: {use: [a]}", "backbone.patch: say which patch"),
        ("patch: [conv]", "backbone.patch: expected part of kind patch, got ['conv']; zoo-list patch shows the parts"),
        ("tokens_at: fornt",
         "backbone.tokens_at: 'fornt' is none of its values; did you mean 'front'? allowed: front, end"),
        ("depth: 3.0", "backbone.depth: expected int, got 3.0"),
        ("depth: '3'", "backbone.depth: expected int, got '3'"),
        ("depth: 1_000", "backbone.depth: expected int, got '1_000'"),
        ("depth: true", "backbone.depth: expected int, got True"),
        ("limit: yes", "backbone.limit: expected float | None, got 'yes'"),
        ("limit: true", "backbone.limit: expected float | None, got True"),
        (f"limit: {'9' * 99}", None),
        ("mixer: {directions: [a, 3]}", "backbone.mixer.directions.1: expected str, got 3"),
        ("mixer: {directions: a}", "backbone.mixer.directions: expected list[str], got 'a'"),
        ("mixer: {directions: [null]}", "backbone.mixer.directions.0: expected str, got None"),
        ("conditioning: {embed: [a]}",
         "backbone.conditioning.embed: expected dict[str, part of kind embed], got ['a']"),
        ("scan: {use: nested}", "default parts nest without end"),
        ("use: x", "unknown backbone 'x'"),
        ("width: null", "r.yaml:3: backbone.width: backbone sequence needs this field (int)"),
        ("extends: a", "r.yaml:3: backbone.extends: unknown field"),
    ],
)
def test_mistakes_in_words(text, words):
    body = f"shape: [3, 32, 32]\nbackbone:\n  {text}\n" + ("" if "width" in text else "  width: 8\n")
    if words is None:
        assert Recipe.from_text(body).get("backbone.limit") == float("9" * 99)
    else:
        assert words in only(body)


@pytest.mark.parametrize("shape", ["[3, 32]", "[3, 0, 32]", "[1, 2, 3, 4, 5]", "[3, 32, -1]"])
def test_a_shape_has_three_or_four_positive_sizes(shape):
    assert only(f"shape: {shape}\nbackbone: {{width: 8}}\n").startswith("r.yaml:1: shape: expected [channels")


def test_the_shape_is_required():
    assert only("backbone: {width: 8}\n") == "r.yaml:1: shape: a recipe needs this field (list[int])"


def test_whole_numbers_become_floats_where_floats_are_wanted():
    recipe = Recipe.from_text(GOOD + "train: {lr: 1, optimizer: {betas: [0, 1]}}\n")
    values = [recipe.get("train.lr"), *recipe.get("train.optimizer.betas")]
    assert values == [1.0, 0.0, 1.0] and all(type(v) is float for v in values)


def test_an_alias_is_resolved_to_the_name():
    assert Recipe.from_text(GOOD + "process: {use: ddpm, steps: 5}\n")["process"] == {"use": "discrete", "steps": 5}


def test_published_figures_are_free():
    recipe = Recipe.from_text(GOOD + "published: {fid: 2.92, by: {seed: [1, null]}}\n")
    assert recipe["published"] == {"fid": 2.92, "by": {"seed": [1, None]}}


@pytest.mark.parametrize(
    "patch, words",
    [
        ("backbone.skp: none",
         "r.yaml:4: ablate.x: backbone.skp: unknown field of backbone sequence; did you mean 'skip'?"),
        ("backbone.skip: long", "r.yaml:4: ablate.x: backbone.skip: unknown skip 'long'"),
        ("backbone.mixer.heads: 3", "r.yaml:4: ablate.x: backbone.mixer.heads: unknown field of mixer mamba"),
        ("bakbone.skip: none", "ablate.x: bakbone: unknown field of a recipe; did you mean 'backbone'?"),
        ("plugins: [a.py]", "ablate.x: plugins: an ablation cannot change this"),
        ("train.optimizer.betas.9: 1.0", "no element 9"),
        ("'': 3", "'' is not a dotted key"),
    ],
)
def test_an_ablation_is_checked_before_it_is_needed(patch, words):
    assert words in only(GOOD + f"ablate:\n  x: {{{patch}}}\n")


@pytest.mark.parametrize(
    "patch, words",
    [
        ("train.batch: 3", "r.yaml:4: presets.x: train.batch: a preset cannot change this; allowed: sampler, guidance"),
        ("guidance: {use: cfgg}", "presets.x: guidance: unknown guidance 'cfgg'"),
        ("sampler.stps: 3", "presets.x: sampler.stps: unknown field of sampler"),
        ("presets.y.guidance: none", "presets.x: presets.y.guidance: a preset cannot change this"),
    ],
)
def test_a_preset_is_checked_before_it_is_needed_and_only_changes_sampling(patch, words):
    assert words in only(GOOD + f"presets:\n  x: {{{patch}}}\n")


def test_an_ablation_may_put_another_part_in_place_of_the_default():
    text = GOOD.replace("8}", "8, patch: {size: 8, refine: 1}}") + "ablate: {x: {backbone.patch.use: unfold}}\n"
    assert Recipe.from_text(text).ablated("x").get("backbone.patch") == {"use": "unfold", "size": 4}


def test_an_ablation_does_not_repeat_the_mistakes_of_its_recipe():
    assert len(errors("shape: [3, 8, 8]\nbackbone: {wdth: 8}\nablate:\n  x: {backbone.skip: none}\n")) == 2


def test_a_default_that_does_not_fit_blames_the_part(write):
    plug = write("plug.py", "@register('mixer', 'odd')\ndef odd(*, size: int = 'big'): ...\n")
    path = write("r.yaml", f"plugins: [{plug.name}]\nshape: [3, 8, 8]\nbackbone: {{width: 8, mixer: odd}}\n")
    with pytest.raises(RecipeError, match=r"^default of mixer odd: backbone.mixer.size: expected int, got 'big'"):
        load_recipe(path)
