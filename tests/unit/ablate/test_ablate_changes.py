"""Which rows a command asks for."""

from __future__ import annotations

import math

import pytest
from shrunken import distinct, shrunk, two_steps

from zoo.ablate.changes import combinations, drop, droppable, optional_slots, sweep, table, variant
from zoo.ablate.match import matched
from zoo.ablate.rows import counted, prepared, rows_of, score_key, training_key
from zoo.errors import RecipeError
from zoo.recipe import load_recipe, recipes
from zoo.registry import parts as parts_of

DIM = "dim_s_cifar"
SMALL = distinct([name for name in recipes() if not name.startswith("_")])


@pytest.mark.parametrize("name", SMALL)
def test_every_optional_slot_of_a_recipe_can_be_dropped_and_the_rest_takes_two_steps(name):
    recipe = shrunk(name)
    slots = [slot for slot in optional_slots(recipe) if slot.startswith("backbone.")]
    assert slots, "a recipe without a slot to drop is not expected"
    for slot in slots:
        changed = drop(recipe, slot.removeprefix("backbone.")).over(recipe)
        _, _, losses = two_steps(changed)
        assert changed.get(slot)["use"] == "none" and all(map(math.isfinite, losses)), slot


@pytest.mark.parametrize("name", [n for n in SMALL if any("." not in s for s in optional_slots(load_recipe(n)))])
def test_what_is_dropped_outside_the_backbone_leaves_the_trained_weights_as_they_are(name):
    recipe = load_recipe(name)
    for slot in (s for s in optional_slots(recipe) if not s.startswith("backbone.")):
        changed = drop(recipe, slot).over(recipe)
        assert changed.get(slot)["use"] == "none" and training_key(changed) == training_key(recipe), slot


def test_a_slot_that_is_none_already_is_not_offered():
    recipe = load_recipe(DIM, ["backbone.padding=none"])
    assert "padding" in droppable(load_recipe(DIM)) and "padding" not in droppable(recipe)
    assert "guidance" in droppable(load_recipe("dim_l_imagenet256")) and "guidance" not in droppable(recipe)


@pytest.mark.parametrize(("ask", "hint"), [
    (lambda r: drop(r, "paddin_tokens"), "'padding_tokens'"),
    (lambda r: drop(r, "long_skip+enhancr"), "'enhancer'"),
    (lambda r: variant(r, ["twoway"]), "'two_way'"),
    (lambda r: variant(r, ["backbone.scan=fourway"]).over(r), "'four_way'"),
    (lambda r: sweep(r, "sampelr"), "'sampler'"),
    (lambda r: table(r, "5"), "4, 6"),
])  # fmt: skip
def test_an_unknown_name_gets_the_nearest(ask, hint):
    with pytest.raises(RecipeError, match=hint):
        ask(load_recipe(DIM))


def test_tables_4_and_6_are_the_papers():
    recipe = load_recipe(DIM)
    rows, figures = table(recipe, "4")
    changed = {row.label: row.against(recipe) for row in rows_of(recipe, rows, figures)}
    assert changed == {
        "full": [], "-multi_scan": ["backbone.scan: four_way -> raster"],
        "-long_skip": ["backbone.skip: long_concat -> none"],
        "-padding_tokens": ["backbone.padding: grid_tokens -> none"],
        "-local_enhancement": ["backbone.enhancer: depthwise_conv -> none"],
    }  # fmt: skip
    assert figures == {"full": 2.92, "-multi_scan": 17.60, "-long_skip": 6.23, "-padding_tokens": 2.94,
                       "-local_enhancement": 3.07}  # fmt: skip
    rows, figures = table(recipe, "6")
    assert [row.label for row in rows] == ["four_way", "two_way", "one_way"]
    assert figures == {"four_way": 2.92, "two_way": 2.91, "one_way": 17.60}


def test_a_shelf_is_swept_part_by_part_but_for_the_one_in_use():
    recipe = load_recipe(DIM)
    assert {"padding=none", "padding=line_end"} <= {c.label for c in sweep(recipe, "padding")}
    assert "padding=grid_tokens" not in {c.label for c in sweep(recipe, "padding")}
    assert {"final_norm=rms"} <= {c.label for c in sweep(recipe, "final_norm")}
    assert [c.patch for c in sweep(recipe, "sampler") if c.label == "sampler=ddim"] == [{"sampler": "ddim"}]


WITHOUT_PLACE = {"scan": {"space_time", "together", "dilated independent=true", "windows independent=true"}}
"""Independent sequences have no place for DiM's tokens, a mixer of one direction none for four orders."""


@pytest.mark.parametrize("shelf, forms", [
    ("scan", {"hilbert inverse=true"}), ("padding", {"grid_tokens bottom=cyclic"}),
    ("enhancer", {f"depthwise_conv {form}" for form in ("residual=true", "kernel=5", "kernel=7")}),
    ("skip", {f"{part} start=1" for part in ("two_linear", "long_add", "gated")} | {"long_concat start=0"}),
    ("feedforward", {f"depthwise_conv kernel={k}" for k in (5, 7)}),
])  # fmt: skip
def test_every_part_of_a_shelf_and_its_forms_is_a_row_with_its_cost(shelf, forms):
    """Of what a recipe uses already, the forms alone."""
    recipe = shrunk(DIM)
    rows, left_out = counted(rows_of(recipe, sweep(recipe, shelf)), forgiving=True)
    used = recipe.get(f"backbone.{shelf}.use")
    parts = {part.name for part in parts_of(shelf)} - {used} - WITHOUT_PLACE.get(shelf, set())
    labels = {row.label.removeprefix(f"{shelf}=").replace(f"{shelf}.", f"{used} ") for row in rows}
    assert parts <= labels and forms <= labels
    assert {line.partition(":")[0] for line in left_out} == {f"{shelf}={name}" for name in WITHOUT_PLACE.get(shelf, ())}
    assert all(row.counts["parameters"] and row.counts["macs"] for row in rows)


def test_parts_of_a_shelf_that_do_not_fit_are_left_out_with_their_reason():
    recipe = shrunk(DIM)
    rows, left_out = counted(rows_of(recipe, sweep(recipe, "head.norm") + [variant(recipe, ["backbone.depth=4"])]),
                             forgiving=True)  # fmt: skip
    assert "depth=4" not in [row.label for row in rows] and "odd number of blocks" in left_out[0]
    assert {"head.norm=layer", "head.norm=none"} <= {row.label for row in rows}


def test_a_grid_combines_what_can_be_combined():
    recipe = load_recipe(DIM)
    changes = [drop(recipe, "long_skip"), variant(recipe, ["two_way"]), variant(recipe, ["backbone.scan.use=raster"])]
    labels = {c.label for c in combinations(changes)}
    assert labels == {"-long_skip", "two_way", "scan.use=raster", "-long_skip two_way", "-long_skip scan.use=raster"}


def test_several_things_can_be_dropped_in_one_row():
    recipe = load_recipe(DIM)
    row = drop(recipe, "long_skip+padding")
    assert row.label == "-long_skip -padding"
    assert {key for key, *_ in recipe.diff(row.over(recipe))} == {"backbone.skip", "backbone.padding"}


def test_a_short_run_is_the_long_one_in_small():
    recipe = prepared(load_recipe(DIM), 128_000)
    train = recipe["train"]
    assert (train["steps"], train["warmup"], train["ema"]) == (1000, 5, [0.95])  # 500 times shorter than 500k, 2500
    assert prepared(load_recipe(DIM), 10**12).get("train.ema") == [0.9999]
    with pytest.raises(RecipeError, match="less than a batch"):
        prepared(load_recipe(DIM), 100)


def test_equal_parameters_come_from_the_width(tiny):
    rows, _ = counted(rows_of(tiny("backbone.width=64"), [drop(tiny(), "long_skip")]))
    full, narrow = rows
    _, wide = matched(rows)
    assert wide.counts["parameters"] != narrow.counts["parameters"] and "width 64 ->" in wide.note
    gap = [abs(row.counts["parameters"] - full.counts["parameters"]) for row in (wide, narrow)]
    assert gap[0] < gap[1]
    for side in (-8, 8):  # no neighbour is nearer
        other, _ = counted([rows_of(wide.recipe.override({"backbone.width": wide.recipe.get("backbone.width") + side}),
                                    [])[0]])  # fmt: skip
        assert abs(other[0].counts["parameters"] - full.counts["parameters"]) >= gap[0]


def test_recipes_share_weights_if_they_only_draw_or_look_otherwise(tiny):
    same = ["sampler.steps=9", "guidance=none", "train.val_every=3", "train.save_every=1", "train.micro_batch=2"]
    other = ["train.seed=1", "train.steps=7", "backbone.width=24", "loss=min_snr", "data.holdout=0.2"]
    key, protocol = training_key(tiny()), {"metrics": []}
    assert all(training_key(tiny(setting)) == key for setting in same)
    assert all(training_key(tiny(setting)) != key for setting in other)
    assert score_key(tiny("sampler.steps=9"), protocol) != score_key(tiny(), protocol)
    assert score_key(tiny(), {"metrics": ["fd"]}) != score_key(tiny(), protocol)
