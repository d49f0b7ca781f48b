"""Classes are asked for by name or number; a wrong one is answered with the right ones."""

from __future__ import annotations

import pytest

from zoo.builder import build
from zoo.errors import ZooError
from zoo.recipe import load_recipe
from zoo.sampling.labels import class_number, class_numbers, in_turn, labels_for, parse_classes

NAMES = ["airplane", "automobile", "7", "ship"]


@pytest.mark.parametrize(("word", "number"), [("0", 0), ("3", 3), ("ship", 3), ("Airplane", 0), ("7", 2)])
def test_a_class_has_a_name_and_a_number(word, number):
    assert class_number(word, 4, NAMES) == number


def test_an_unknown_class_gets_the_list_and_the_nearest():
    with pytest.raises(ZooError, match=r"'airplan'; did you mean 'airplane'\? allowed: 0\.\.3 \(0 airplane, 1"):
        class_number("airplan", 4, NAMES)
    with pytest.raises(ZooError, match=r"unknown class '4'; allowed: 0\.\.3$"):
        class_number("4", 4, [])


@pytest.mark.parametrize("word", ["-1", "1.0", "", "²", "1e9", "9" * 5000])
def test_what_is_no_class_is_refused(word):
    with pytest.raises(ZooError, match="unknown class"):
        class_number(word, 4, NAMES)


def test_a_thousand_names_do_not_fill_the_screen():
    with pytest.raises(ZooError) as error:
        class_number("?", 1000, [f"class {i}" for i in range(1000)])
    assert len(str(error.value)) < 500 and "..." in str(error.value)


def test_no_class_at_all_is_refused(backbone, recipe):
    with pytest.raises(ZooError, match="no class is named"):
        parse_classes([], backbone, recipe)


def test_chosen_classes_come_in_turn_whatever_the_subset():
    assert in_turn({"label": [5, 9]}, [0, 1, 2, 7])["label"].tolist() == [5, 9, 5, 9]


def test_all_combinations_of_two_labels_come_in_turn():
    labels = in_turn({"category": range(3), "style": [2, 0]}, range(6))
    pairs = sorted(zip(labels["category"].tolist(), labels["style"].tolist()))
    assert pairs == [(c, s) for c in range(3) for s in (0, 2)]


def test_classes_of_two_labels_are_named_plainly_or_with_their_label():
    emoji = load_recipe("emoji64", ["backbone.width=16", "backbone.depth=3"])
    model = build(emoji)
    assert parse_classes(["flags", "style=twitter"], model, emoji) == {"category": [8], "style": [1]}
    assert list(parse_classes(["google"], model, emoji)["category"]) == list(range(9))
    with pytest.raises(ZooError, match="category=3"):
        parse_classes(["3"], model, emoji)


def test_names_come_from_the_data_of_the_recipe(backbone, recipe):
    named = recipe.override(["data=cifar10"])
    assert parse_classes(["automobile", 3, " 0"], backbone, named) == {"label": [1, 3, 0]}


def test_data_with_other_labels_leave_this_one_out(backbone, recipe):
    assert labels_for(backbone, recipe.override(["data={use: cifar10, labels: []}"]), [0, 1], None) is None
    assert labels_for(backbone, recipe.override(["data={use: cifar10}"]), [3, 5], None)["label"].tolist() == [3, 1]


def test_a_range_of_classes_includes_its_ends(backbone, recipe):
    assert parse_classes(["1..3", "0"], backbone, recipe) == {"label": [1, 2, 3, 0]}
    named = recipe.override(["data=cifar10"])
    assert parse_classes(["bird..3"], backbone, named) == {"label": [2, 3]}
    assert class_numbers("a..b", 4, ["a..b"]) == [0], "a class may be called so"


@pytest.mark.parametrize(("word", "message"), [
    ("3..1", "ends before it begins; fix: 1..3|1..3"), ("0..4", "unknown class '4'"), ("..2", "unknown class ''"),
])  # fmt: skip
def test_a_range_that_is_none_is_refused(backbone, recipe, word, message):
    with pytest.raises(ZooError, match=message):
        parse_classes([word], backbone, recipe)
