"""Our figures on recipe pages and on the first page are those of the JSON files; failures are shown as they are."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from blocks import ROOT
from PIL import Image

from zoo.eval.result import Result
from zoo.recipe import load_recipe


@pytest.fixture
def measured(tmp_path, monkeypatch):
    from pages import measured  # type: ignore[import-not-found]

    monkeypatch.setattr(measured, "RESULTS", tmp_path)
    measured._results.cache_clear()
    yield measured
    measured._results.cache_clear()


def page(recipe) -> str:
    from pages import recipes, sizes  # type: ignore[import-not-found]

    return recipes.figures(recipe.name, recipe, sizes.Sizes("50,568,716", "18.10", "11.90"))


def test_an_eval_json_appears_on_the_page_of_the_recipe_whose_hash_it_has_and_on_no_other(measured, tmp_path):
    ours, other = load_recipe("dim_s_cifar"), load_recipe("uvit_s_cifar")
    protocol = {"count": 50000, "model": {"recipe": ours.hash, "step": 500000}}
    Result({"FID": 2.951, "KID": float("nan")}, protocol).save(tmp_path / "a.json")
    assert "| FID, 50,000 images |  | 2.951 |" in page(ours) and "KID" not in page(ours)
    assert "2.951" not in page(other)


def test_speed_is_that_of_the_unchanged_recipe_in_its_fastest_form(measured, tmp_path):
    label = "dim_s_cifar train.recompute=selective"
    contestants = [{"label": "dim_s_cifar", "recipe": "dim_s_cifar", "settings": []},
                   {"label": label, "recipe": "dim_s_cifar", "settings": ["train.recompute=selective"]}]  # fmt: skip
    updates = [{"contestant": who, "form": form, "batch": 128, "precision": "bf16", "images_per_s": speed}
               for who, form, speed in (("dim_s_cifar", "eager", 900), ("dim_s_cifar", "compiled", 1487),
                                        (label, "compiled", 9999))]  # fmt: skip
    result = {"kind": "train", "machine": {"device": "H"}, "contestants": contestants, "updates": updates}
    (tmp_path / "b.json").write_text(json.dumps(result))
    text = page(load_recipe("dim_s_cifar"))
    assert "compiled, batch 128, bf16, one H |  | 1,487 |" in text and "9,999" not in text


def test_published_ablations_are_a_link_and_no_dictionary():
    text = page(load_recipe("dim_s_cifar"))
    assert "{" not in text and "[Table 4](../../paper/table4.md)" in text


def test_the_sentence_of_the_first_page_is_the_benchmarks(measured, tmp_path):
    points = [{"contestant": who, "at": 1536, "parameters": 862e6, "forms": {"graph": {"ms": ms}}}
              for who, ms in (("DiM-H", 80.4), ("U-ViT 24x64", 120.6))]  # fmt: skip
    crossing = {"first": "DiM-H", "other": "U-ViT 24x64", "form": "graph", "at": 987.6}
    result = {"main_form": "graph", "machine": {"device": "H"}, "points": points, "crossovers": [crossing]}
    (tmp_path / "bench.json").write_text(json.dumps(result))
    text = measured.crossover("bench.json", "DiM-H", "U-ViT 24x64", "1536")
    assert "80 ms a step at 1536 px" in text and "257 ms" in text and "121 ms" in text and "about 990 px" in text


def test_tables_of_the_kernel_page_follow_the_files_and_say_which_goals_are_missed(measured, tmp_path):
    from pages import kernels  # type: ignore[import-not-found]

    def case(shape, backend, rate):
        return {"case": f"selective_scan backward ({shape})", "backend": backend, "ms": 1.0, "rate": rate * 1e9,
                "of_bound": 0.154}  # fmt: skip

    rates = dict(zip(kernels.RATES["backward"], (700, 639.4, 950, 441)))
    cases = [case(shape, "cuda", rate) for shape, rate in rates.items()]
    cases += [case("32,3072,273", "mamba_ssm, channel-first", 131)]
    result = {"machine": {"device": "H", "date": "2026"}, "cases": cases}
    (tmp_path / "ops.json").write_text(json.dumps(result))
    text = kernels.table("scan backward", "ops.json")
    assert "| 32, 3072, 273 | 131 | **639** | 15 % | 640 | 900 |" in text
    assert "| 8, 3072, 1056 |  | 950 | 15 % | 640 | 900 |" in text
    assert "holds in 3 of 4 rows, bold where it does not; “aim” is reached in 1. H, 2026." in text


def test_no_measured_table_of_the_kernel_page_is_typed():
    from pages import kernels  # type: ignore[import-not-found]

    text = (ROOT / "docs/kernels.md").read_text(encoding="utf-8")
    placed = re.findall(r"<!-- measured (.+), (.+) -->", text)
    assert sorted(name for name, _ in placed) == ["convolution", "scan backward", "scan forward", "step"]
    assert not [line for line in text.splitlines() if line.startswith("|") and "must" in line]
    for name, file in placed:
        assert kernels.table(name, file).count("\n|") > 2


def test_failures_are_cut_from_the_sheet_and_drawn_at_the_sizes_that_they_claim(tiny_run, tmp_path, monkeypatch):
    import limits_pictures  # type: ignore[import-not-found]

    monkeypatch.setattr(limits_pictures, "COUNT", 2)
    limits_pictures.main([str(tiny_run), "--out", str(tmp_path)])
    with Image.open(ROOT / "docs/emoji64.png") as sheet, Image.open(tmp_path / "faces.png") as faces:
        row, column = limits_pictures.CROPS["faces"][1]
        box = (column * 66, row * 66, column * 66 + 64, row * 66 + 64)
        assert (np.asarray(faces)[:, 68:132] == np.asarray(sheet.crop(box).convert("RGB"))).all()
    told = json.loads((tmp_path / "limits.json").read_text())
    assert told["enlarged"]["step"] == 2
    for name, how in told["enlarged"]["sizes"].items():
        with Image.open(tmp_path / f"{name}.png") as strip:
            assert strip.height == 32 * how["times"], name
    assert set(told) == set(json.loads((ROOT / "docs/results/limits/limits.json").read_text()))
