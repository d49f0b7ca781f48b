"""A recipe that trains six updates in a second, on pictures of noise, with named ablations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.recipe import load_recipe

RECIPE = """
version: 1
title: a tiny model for ablations
shape: [3, 8, 8]
process: {{use: vp_sde, predict: eps}}
sampler: {{use: dpm_solver, steps: 4}}
backbone:
  width: 16
  depth: 3
  patch: {{use: conv, size: 2}}
  conditioning: {{tokens: [time], embed: {{time: sinusoid}}}}
  position: learned
  mixer: {{use: attention, heads: 2}}
  norm: rms
  skip: long_concat
data: {{use: folder, path: {pictures}, holdout: 0.3, labels: []}}
train:
  {{steps: 6, batch: 4, optimizer: {{lr: 1.0e-3}}, ema: [0.5], warmup: 1, workers: 0, log_every: 2, val_images: 6,
    save_every: 2}}
ablate:
  long_skip: {{backbone.skip: none}}
  wide: {{backbone.width: 24}}
published:
  tables: {{"4": {{full: 2.5, -long_skip: 6.5}}, "6": {{full: 2.5, wide: 2.4}}}}
"""


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory) -> Path:
    folder, rng = tmp_path_factory.mktemp("ablate"), np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(24):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(folder / f"pictures/{i:02}.png")
    path = folder / "tiny.yaml"
    path.write_text(RECIPE.format(pictures=folder / "pictures"))
    return path


@pytest.fixture(scope="session")
def tiny(recipe_file):
    """tiny("train.batch=2", ...) -> Recipe."""
    return lambda *overrides: load_recipe(recipe_file, list(overrides))
