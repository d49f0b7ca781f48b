"""`evaluate` on a model and on pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.errors import DataError, RecipeError, ShapeError, ZooError
from zoo.eval import Reference, Result, build_reference, evaluate
from zoo.eval import lens as lens_module
from zoo.eval.lens import Lens
from zoo.eval.reference import load_reference
from zoo.eval.tally import Needs, Tally
from zoo.sampling.api import sample
from zoo.sampling.picture import save_picture, single, to_picture

ALL = ("fd", "sfd", {"use": "kd", "subset": 15, "subsets": 4}, "is", "pr", "dc")
CALLED = {"FD-waves", "sFD-waves", "KD-waves", "KD-std-waves", "IS-waves", "IS-std-waves", "precision-waves",
          "recall-waves", "density-waves", "coverage-waves"}  # fmt: skip


@pytest.fixture
def measured(model, waves):
    def run(source=model, **options) -> Result:
        return evaluate(source, **{"extractor": waves, "count": 24, "batch": 8, **options})

    return run


def test_a_model_is_measured_against_its_own_data(measured, model):
    result = measured(metrics=ALL, out=model)
    assert set(result.metrics) == CALLED and all(np.isfinite(v) for v in result.metrics.values())
    said = result.protocol
    assert (said["count"], said["seed"], said["dtype"], said["model"]["step"]) == (24, 0, "fp32", 7)
    assert said["sampler"] == {"use": "euler_maruyama", **said["sampler"]} and said["sampler"]["steps"] == 3
    assert said["guidance"]["scale"] == 1.5 and said["model"]["ema"] is False and len(said["model"]["weights"]) == 64
    assert said["reference"]["split"] == "train" and said["reference"]["count"] > 200
    assert said["reference"]["size"] == said["images"]["size"] == "8x8" and len(said["reference"]["hash"]) == 64
    assert said["images"]["rounding"] and said["versions"]["torch"] and said["metrics"]["kd"]["subsets"] == 4
    assert Result.load(model / "eval.json") == result
    assert json.loads((model / "eval.json").read_text())["metrics"] == result.metrics


def test_images_drawn_on_the_fly_are_those_of_zoo_sample(measured, model, tmp_path):
    drawn = measured(metrics=ALL)
    images = sample(model, 24, device="cpu")
    (tmp_path / "singles").mkdir()
    for i, image in enumerate(images):
        save_picture(to_picture(image), single(tmp_path / "singles", i))
    np.savez(tmp_path / "samples.npz", np.stack(images))
    for source in (tmp_path / "singles", tmp_path / "samples.npz"):
        stored = measured(source, metrics=ALL, reference=model, count=None)
        assert stored.protocol["images"]["sha256"] == drawn.protocol["images"]["sha256"]
        assert stored.metrics == pytest.approx(drawn.metrics, rel=1e-9)


def test_the_batch_changes_nothing(measured):
    one, other = measured(), measured(batch=7)
    assert one.protocol["images"]["sha256"] == other.protocol["images"]["sha256"]
    assert one.metrics == pytest.approx(other.metrics, rel=1e-9)


@pytest.mark.parametrize("change", [{"seed": 1}, {"overrides": ["guidance.scale=3"]},
                                    {"overrides": ["sampler.steps=5"]}])  # fmt: skip
def test_settings_and_seeds_change_the_figures(measured, change):
    assert measured(**change).metrics != measured().metrics


def test_pictures_against_themselves_give_zero(measured, pictures):
    result = measured(pictures, reference=pictures, metrics=("fd", "pr"), count=None)
    assert result.metrics["FD-waves"] < 1e-9 and result.metrics["precision-waves"] == 1
    assert "model" not in result.protocol


def test_another_split_is_another_reference(measured):
    train, val = measured(), measured(split="val")
    assert val.protocol["reference"]["split"] == "val"
    assert val.protocol["reference"]["hash"] != train.protocol["reference"]["hash"]


def test_a_reference_is_built_once_and_loads_again(measured, recipe, waves, tmp_path):
    (tmp_path / "tiny.yaml").write_text(recipe.to_yaml())
    made = build_reference(tmp_path / "tiny.yaml", extractor=waves, metrics=ALL, out=tmp_path / "tiny.npz")
    expected = measured(metrics=ALL)
    for reference in (made, tmp_path / "tiny.npz", tmp_path / "tiny.yaml"):
        found = measured(metrics=ALL, reference=reference)
        assert found.protocol["reference"]["hash"] == made.hash == expected.protocol["reference"]["hash"]
        assert found.metrics == pytest.approx(expected.metrics, rel=1e-9)
    with np.load(tmp_path / "tiny.npz") as file:
        assert file["sigma"].shape == (16, 16) and file["mu"].dtype == np.float64


def test_a_reference_hash_is_of_the_content(waves, pictures):
    before = build_reference(pictures, extractor=waves).hash
    assert build_reference(pictures, extractor=waves, batch=3).hash == before
    Image.new("RGB", (8, 8), "red").save(pictures / "07.png")
    assert build_reference(pictures, extractor=waves).hash != before


def test_statistics_of_another_extractor_or_for_other_metrics_are_refused(measured, waves, pictures, tmp_path):
    build_reference(pictures, extractor=waves, out=tmp_path / "a.npz")
    with pytest.raises(DataError, match="features of each image"):
        measured(pictures, reference=tmp_path / "a.npz", metrics=("pr",))
    with pytest.raises(DataError, match="of extractor waves"):
        measured(pictures, reference=tmp_path / "a.npz", extractor={"use": waves, "seed": 1})


def published(path, pixels=None) -> None:
    """Statistics as they are published: mu and sigma, ADM's with a map and images as well."""
    rows = np.random.default_rng(0).normal(size=(90, 16))
    arrays = {"mu": rows.mean(0), "sigma": np.cov(rows, rowvar=False)}
    if pixels is not None:
        arrays |= {"mu_s": np.zeros(16), "sigma_s": np.eye(16), "arr_0": pixels}
    np.savez(path, **arrays)


def test_published_statistics_load_for_inception_alone(waves, tmp_path):
    published(tmp_path / "fid_stats.npz")
    lens = Lens(waves, torch.device("cpu"))
    with pytest.raises(DataError, match="published ones are Inception's"):
        load_reference(tmp_path / "fid_stats.npz", lens, Needs(frozenset({"features"})))
    lens.standard = True
    found = load_reference(tmp_path / "fid_stats.npz", lens, Needs(frozenset({"features"})))
    assert found.tally.gaussian("features").cov.shape == (16, 16) and len(found.hash) == 64
    with pytest.raises(DataError, match="lack"):
        load_reference(tmp_path / "fid_stats.npz", lens, Needs(frozenset({"spatial"})))


def test_adm_batches_give_moments_as_published_and_rows_from_their_images(waves, tmp_path):
    lens = Lens(waves, torch.device("cpu"))
    lens.standard = True
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    published(tmp_path / "adm.npz", pixels)
    needs = Needs(frozenset({"features", "spatial"}), frozenset({"features"}))
    found = load_reference(tmp_path / "adm.npz", lens, needs)
    np.testing.assert_array_equal(found.tally.gaussian("spatial").cov, np.eye(16))
    np.testing.assert_allclose(found.tally.rows("features"), lens(pixels, ["features"])["features"])


def test_pickled_statistics_are_never_opened(tmp_path):
    np.savez(tmp_path / "evil.npz", mu=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="evil"):
        Tally.load(tmp_path / "evil.npz")


@pytest.mark.parametrize(("options", "error", "words"), [
    ({"metrics": ("fid",)}, ZooError, "FID is the name for the published Inception network, this is waves"),
    ({"metrics": ("fdd",)}, ZooError, "did you mean 'fd'"),
    ({"metrics": ()}, ZooError, "no metric"),
    ({"extractor": "wave"}, ZooError, "did you mean 'waves'"),
    ({"extractor": {"use": "waves", "sed": 1}}, RecipeError, "did you mean 'seed'"),
    ({"overrides": ["train.steps=3"]}, RecipeError, "the weights have fixed this"),
    ({"overrides": ["sampler.step=3"]}, RecipeError, "did you mean 'steps'"),
    ({"count": 1}, ZooError, "at least 2"),
    ({"reference": "no_such_recipe"}, RecipeError, "no recipe"),
    ({"size": (9, 9)}, ShapeError, "multiple"),
])  # fmt: skip
def test_mistakes_are_named_before_anything_is_drawn(measured, options, error, words, data_folder):
    with pytest.raises(error, match=words):
        measured(**options)
    assert not list(data_folder.rglob("*.npz"))


def test_pictures_need_a_reference_and_one_size(measured, pictures):
    with pytest.raises(ZooError, match="nothing to compare these pictures with"):
        measured(pictures)
    Image.new("RGB", (9, 8)).save(pictures / "99.png")
    with pytest.raises(ShapeError, match=r"99\.png: 8x9 pixels, the first picture has 8x8"):
        measured(pictures, reference=pictures)
    assert measured(pictures, reference=pictures, size=(4, 4)).protocol["images"]["size"] == "4x4"


def test_too_few_images_are_said_to_be_too_few(measured):
    assert any("16 images for 16 features" in note for note in measured(count=16).notes)
    assert not measured(count=24).notes


def test_figures_are_fid_for_the_published_network_only(waves):
    lens = Lens(waves, torch.device("cpu"))
    assert lens.called("FD", "FID") == "FD-waves"
    lens.standard = True
    assert [lens.called(*pair) for pair in (("FD", "FID"), ("sFD", "sFID"), ("KD", "KID"))] == ["FID", "sFID", "KID"]


def test_a_part_cannot_call_itself_standard(waves):
    class Boaster(torch.nn.Module):
        name, streams, resize, standard = "inception", ("features",), "none", True

    before, lens_module.factory = lens_module.factory, lambda kind, node: Boaster
    try:
        assert Lens(waves, torch.device("cpu")).called("FD", "FID") == "FD-inception"
    finally:
        lens_module.factory = before


def test_a_reference_object_is_one(waves, pictures):
    assert isinstance(build_reference(pictures, extractor=waves), Reference)
