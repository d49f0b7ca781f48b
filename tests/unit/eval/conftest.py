"""A tiny extractor as a plug-in, a tiny model on flags, and pictures; statistics go to a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo import registry
from zoo.builder import build_backbone
from zoo.recipe import Recipe
from zoo.weights.load import save_pretrained

EXTRACTOR = '''
"""Sums of pixels under fixed waves: exact, whatever the batch."""

import torch
from torch import nn

from zoo.registry import register


@register("extractor", "waves")
class Waves(nn.Module):
    """Sixteen features, a map and five logits."""

    name, resize = "waves", "none"
    streams = ("features", "spatial", "logits")

    def __init__(self, *, seed: int = 0):
        super().__init__()
        self.register_buffer("weight", torch.randn(4096, 16, generator=torch.Generator().manual_seed(seed)).double())

    def forward(self, pixels, streams):
        x = pixels.double().flatten(1) / 255
        rows = torch.stack([(row[:, None] * self.weight[: len(row)]).sum(0) for row in x])
        spatial = pixels[:, 0, ::2, ::2].flatten(1).double() / 255
        return {"features": rows, "spatial": spatial, "logits": rows[:, :5] / 9}
'''
RECIPE = """
version: 1
title: a tiny model for tests
shape: [3, 8, 8]
process: {use: vp_sde, predict: x0}
sampler: {use: euler_maruyama, steps: 3}
guidance: {use: cfg, scale: 1.5}
backbone:
  width: 16
  depth: 1
  patch: {use: conv, size: 2}
  conditioning: {tokens: [time, category], embed: {time: sinusoid, category: {use: table, reads: category, classes: 9}}}
  position: learned
  mixer: {use: attention, heads: 2}
  norm: layer
data: {use: emoji, names: ["country-flag"], styles: [google]}
train: {steps: 12, batch: 4, ema: [0.9], workers: 0, log_every: 4, val_every: 0, preview_every: 0, save_every: 0}
"""


@pytest.fixture(scope="session", autouse=True)
def waves(tmp_path_factory) -> str:
    """The name of the plug-in."""
    path = tmp_path_factory.mktemp("plugin") / "waves.py"
    path.write_text(EXTRACTOR)
    registry.add_plugin(path)
    return "waves"


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe.from_text(RECIPE, "tiny.yaml")


@pytest.fixture
def model(recipe, tmp_path) -> Path:
    """A folder with weights."""
    torch.manual_seed(0)
    backbone = build_backbone(recipe)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    save_pretrained(backbone, tmp_path / "model", recipe, {"step": 7})
    return tmp_path / "model"


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Twenty pictures of 8 x 8."""
    folder, rng = tmp_path / "pictures", np.random.default_rng(1)
    folder.mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i:02}.png")
    return folder
