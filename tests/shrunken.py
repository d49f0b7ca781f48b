"""Shipped recipes made small: what tests/recipes and tests/unit/ablate train for two steps."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from zoo.builder import build, build_process, factory
from zoo.recipe import Recipe, load_recipe


@functools.cache
def shipped(name: str) -> Recipe:
    """The recipe as it is, read once; recipes do not change."""
    return load_recipe(name)


def distinct(names: list[str], *sections: str) -> list[str]:
    """One recipe of each network (and of each of these sections): those of a family are often shrunk alike."""
    first: dict[str, str] = {}
    for name in names:
        recipe = shrunk(name)
        first.setdefault(repr([recipe[key] for key in ("shape", "backbone", "process", "loss", *sections)]), name)
    return list(first.values())


@functools.cache
def shrunk(name: str) -> Recipe:
    """The recipe with few, narrow blocks on small images, and nothing else changed."""
    recipe = shipped(name)
    *frames, channels, _, _ = recipe["shape"]
    side = 4 * recipe.get("backbone.patch.size")
    small = [f"shape={[*frames, channels, side, side + side // 2]}", "backbone.width=32", "backbone.depth=5"]
    mixer = recipe.get("backbone.mixer")
    if isinstance(mixer, dict) and mixer["use"] == "attention":  # in a list, heads must divide 32 as they are
        small.append("backbone.mixer.heads=4")
    return recipe.override(small)


def two_steps(recipe: Recipe) -> tuple[nn.Module, list[str], list[float]]:
    """(the backbone after two updates, the parameters that did not move, the losses)."""
    torch.manual_seed(0)
    backbone, process = build(recipe), build_process(recipe)
    loss_of = factory("loss", recipe["loss"])()
    for parameter in backbone.parameters():  # a gate or a head that starts at zero hides what is behind it
        if not parameter.any():
            nn.init.normal_(parameter, std=0.02)
    before = {k: p.detach().clone() for k, p in backbone.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-3, weight_decay=0.0)
    x, t = torch.randn(2, *recipe["shape"]), torch.tensor([0.3, 0.7])
    noise = torch.randn_like(x)
    y = {e.reads: _value(e) for e in backbone.conditioning.embed.values() if e.reads != "t"}
    losses = []
    for _ in range(2):
        noisy = process.perturb(x, t, noise)
        prediction = backbone(noisy, process.network_time(t).float(), y)
        loss = loss_of(process, prediction, x, noise, t).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    still = [k for k, p in backbone.named_parameters() if k in before and torch.equal(p, before[k])]
    return backbone, still, losses


def _value(embed) -> Tensor:
    """Two labels, or two texts."""
    return torch.tensor([0, 1]) if hasattr(embed, "classes") else torch.randn(2, embed.count, embed.proj.in_features)
