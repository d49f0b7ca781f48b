"""A backbone small enough to sample in milliseconds, and its weights file."""

from __future__ import annotations

import pytest
import torch

from zoo.builder import build_backbone
from zoo.recipe import Recipe
from zoo.weights.load import save_pretrained

RECIPE = """
version: 1
title: a tiny model for tests
shape: [3, 8, 8]
process: {use: vp_sde, predict: x0}
sampler: {use: euler_maruyama, steps: 4}
guidance: {use: cfg, scale: 1.5}
presets: {strong: {guidance: {use: cfg, scale: 4.0}}}
backbone:
  width: 16
  depth: 2
  patch: {use: conv, size: 2}
  conditioning: {tokens: [time, label], embed: {time: sinusoid, label: {use: table, classes: 4, std: 1.0}}}
  position: learned
  mixer: {use: attention, heads: 2}
  norm: layer
train: {loggers: []}
"""


@pytest.fixture(scope="session")
def recipe():
    return Recipe.from_text(RECIPE, "tiny.yaml")


@pytest.fixture(scope="session")
def backbone(recipe):
    torch.manual_seed(0)
    made = build_backbone(recipe)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture
def weights(backbone, recipe, tmp_path):
    return save_pretrained(backbone, tmp_path / "model", recipe)
