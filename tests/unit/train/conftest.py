"""A model and a set of pictures small enough to train for forty updates in a second."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.recipe import load_recipe
from zoo.train.step import Update

RECIPE = """
version: 1
title: a tiny model for tests
shape: [3, 8, 8]
process: {{use: vp_sde, predict: eps}}
sampler: {{use: dpm_solver, steps: 4}}
backbone:
  width: 32
  depth: 3
  patch: {{use: conv, size: 2}}
  conditioning: {{tokens: [time, label], embed: {{time: sinusoid, label: {{use: table, classes: 2}}}}}}
  position: learned
  scan: two_way
  mixer: [{{use: mamba, state: 4}}, {{use: attention, heads: 2}}]
  norm: rms
  skip: long_concat
data: {{use: folder, path: {pictures}, holdout: 0.3}}
train:
  {{steps: 40, batch: 6, optimizer: {{lr: 1.0e-3}}, ema: [0.9, 0.99], warmup: 5, label_dropout: 0.2,
    flip: true, clip: 1.0, workers: 0, log_every: 3, val_every: 0, val_images: 8, preview_every: 0,
    preview_count: 4, save_every: 0, keep: 0}}
"""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    """Forty pictures of two classes: light above, or light on the left."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(40):
        image = rng.integers(0, 120, (8, 8, 3), dtype=np.uint8)
        image[(slice(4), slice(None)) if i % 2 else (slice(None), slice(4))] += 120
        path = folder / ("above" if i % 2 else "left") / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="session")
def recipe_file(pictures, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE.format(pictures=pictures))
    return path


@pytest.fixture(scope="session")
def tiny(recipe_file):
    """tiny("train.clip=1", ...) -> Recipe."""
    return lambda *overrides: load_recipe(recipe_file, list(overrides))


@pytest.fixture
def stop_at(monkeypatch):
    """stop_at(17): Ctrl-C arrives during the update that makes it 17; stop_at(0) takes it back."""
    plain = Update.__call__

    def arm(step: int) -> None:
        def interrupted(self, state, batch):
            if state.step + 1 == step:
                signal.raise_signal(signal.SIGINT)
            plain(self, state, batch)

        monkeypatch.setattr(Update, "__call__", interrupted)

    yield arm
    monkeypatch.undo()
