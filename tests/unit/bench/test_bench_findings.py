"""Crossovers, growth, ranges of sizes and who is compared are what the words say."""

import pytest

from zoo.bench.contestant import Contestant, contestants
from zoo.bench.findings import crossover, crossovers, growth, lines, straight
from zoo.bench.points import by_frames, by_resolution
from zoo.bench.ranges import numbers
from zoo.errors import RecipeError, ShapeError, ZooError


def test_lines_cross_where_they_do():
    sizes = [1.0, 2.0, 4.0, 8.0]
    assert crossover(sizes, [3 + x for x in sizes], [2 * x for x in sizes]) == pytest.approx(3)


def test_a_parabola_crosses_near_where_it_does():
    sizes = list(range(256, 1537, 64))
    at = crossover(sizes, [x**2 for x in sizes], [x**4 / 900**2 for x in sizes])
    assert at == pytest.approx(900, abs=2)


def test_the_last_crossing_counts():
    assert crossover([1, 2, 3, 4], [0, 2, 2, 0], [1, 1, 1, 1]) == pytest.approx(3.5)


def test_no_crossing_and_always_faster():
    assert crossover([1, 2], [3, 3], [2, 2]) is None
    assert crossover([1, 2], [1, 1], [2, 2]) == 1


def test_each_round_has_its_own_crossover():
    def record(who, at, medians):
        return {"contestant": who, "at": at, "forms": {"graph": {"ms": min(medians), "medians": medians}}}

    records = [record("a", at, [6.0, 7.0]) for at in (0, 10)]
    records += [record("b", 0, [0.0, 0.0]), record("b", 10, [10.0, 10.0])]
    (found,) = crossovers(records, "graph")
    assert found["at"] == pytest.approx(6) and found["rounds"] == pytest.approx([6, 7])


@pytest.mark.parametrize("power", [1, 2, 0.5])
def test_growth_is_the_power(power):
    tokens = [1024, 2304, 4096, 9216]
    assert growth(tokens, [0.3 * n**power for n in tokens]) == pytest.approx(power)
    assert growth([64, 64], [1, 2]) is None


def test_a_straight_line_is_found_and_a_bend_is_seen():
    tokens = [256, 1024, 4096, 16384]
    fixed, each, farthest = straight(tokens, [3 + 0.01 * n for n in tokens])
    assert (fixed, each) == pytest.approx((3, 0.01)) and farthest < 1e-9
    assert straight(tokens, [3 + 0.01 * n + 1e-6 * n**2 for n in tokens])[2] > 0.1
    records = [{"contestant": "a", "tokens": n, "activation_mib": 2.0 * n, "forms": {"eager": {"ms": 5 + n}}}
               for n in tokens]  # fmt: skip
    (found,) = lines([*records, {"contestant": "a", "tokens": 10**6, "forms": {}}], "eager")
    assert found["to"] == 16384 and found["time"] == pytest.approx((5, 1, 0), abs=1e-9)
    assert found["memory"] == pytest.approx((0, 2, 0), abs=1e-9) and lines(records[:3], "eager") == []


def test_labels_are_one_a_recipe():
    words = ["a", "x=1", "b"]
    assert contestants(words, ["ours", "DiT"]) == [Contestant("ours", "a", ("x=1",)), Contestant("DiT", "b")]
    for labels in (["ours"], ["ours", "ours"]):
        with pytest.raises(RecipeError, match="--labels"):
            contestants(words, labels)


def test_ranges():
    assert numbers("256..512", 64, "--res") == [256, 320, 384, 448, 512]
    assert numbers("1536,256..600:128, 512", 64, "--res") == [256, 384, 512, 1536]
    for text in ("", "a", "512..256", "0", "1..5:0", "1.5"):
        with pytest.raises(ZooError, match="no number and no range"):
            numbers(text, 64, "--res")


def test_points_have_latent_shapes():
    (point,) = by_resolution([256])
    assert point.shape(4) == (4, 32, 32)
    assert [p.shape(4) for p in by_frames([4, 8], 128)] == [(4, 4, 16, 16), (8, 4, 16, 16)]
    with pytest.raises(ShapeError, match="use 240x240 or 256x256"):
        by_resolution([250])


def test_settings_belong_to_the_recipe_before_them():
    found = contestants(["train.batch=2", "dim_s_cifar", "backbone.scan=raster", "dim_s_cifar", "a/mine.yaml"])
    assert found == [
        Contestant("dim_s_cifar backbone.scan=raster", "dim_s_cifar", ("train.batch=2", "backbone.scan=raster")),
        Contestant("dim_s_cifar", "dim_s_cifar", ("train.batch=2",)),
        Contestant("mine", "a/mine.yaml", ("train.batch=2",)),
    ]
    with pytest.raises(RecipeError, match="needs a recipe"):
        contestants(["backbone.width=2"])
