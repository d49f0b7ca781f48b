"""How much memory an update needs, counted on tensors without memory: no GPU is asked and nothing is computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from zoo.backbones import sequence
from zoo.builder import build_backbone, needed_labels
from zoo.ops.imagined import as_on_gpu
from zoo.ops.precision import autocast
from zoo.parts.padding import grid_tokens
from zoo.recipe import Recipe

MOMENTS = 2
"""What an optimizer keeps of each weight; Adam's mean and square."""


@dataclass(frozen=True)
class Need:
    """Bytes of one process: weights with their gradients, moments and averages; what one image leaves for backward."""

    states: int
    fixed: int
    image: int

    def at(self, images: int) -> int:
        """With so many images at a time."""
        return self.states + self.fixed + images * self.image

    def most(self, memory: int) -> int:
        """Images at a time that fit, 0 if not even one does."""
        return max((memory - self.states - self.fixed) // max(self.image, 1), 0)


def need(recipe: Recipe, processes: int = 1) -> Need | None:
    """The memory of an update in the recipe's precision; None if it recomputes activations, which is not counted.

    Args:
        processes: over which `train.parallel=fsdp` spreads weights.
    """
    train = recipe["train"]
    if train["recompute"] != "none":
        return None
    with _imagined():
        backbone = build_backbone(recipe)
        weights = sum(p.numel() for p in backbone.parameters())
        one, two = (saved_bytes(backbone, recipe, images) for images in (1, 2))
    shares = processes if train["parallel"] == "fsdp" else 1
    return Need(4 * weights * (2 + MOMENTS + len(train["ema"])) // shares, 2 * one - two, two - one)


def saved_bytes(backbone: torch.nn.Module, recipe: Recipe, images: int) -> int:
    """What a forward pass keeps for the backward pass, weights apart, each piece of memory counted once."""
    own = {p.untyped_storage()._cdata for p in backbone.parameters()}
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = {name: torch.zeros(images, dtype=torch.int64) for name in needed_labels(backbone)}
        with autocast(torch.device("cpu"), recipe["train"]["precision"]):
            output = backbone(torch.empty(images, *recipe["shape"]), torch.empty(images), y)  # noqa: F841 keeps the graph
    return sum(storage.nbytes() for name, storage in kept.items() if name not in own)


@contextmanager
def _imagined() -> Iterator[None]:
    """Tensors without memory; what parts remember of them is forgotten before and after."""
    _forget()
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), as_on_gpu():
            yield
    finally:
        _forget()


def _forget() -> None:
    for remembered in (sequence._cached_orders, grid_tokens._cached_places):
        remembered.cache_clear()
