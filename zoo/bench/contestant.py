"""Who is compared: recipes with settings, built with random weights at the size of a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.builder import build_backbone, summary
from zoo.errors import RecipeError
from zoo.recipe import Recipe, load_recipe

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Contestant:
    """A recipe with settings under a short name."""

    label: str
    recipe: str
    settings: tuple[str, ...] = ()

    def loaded(self, shape: Shape | None = None) -> Recipe:
        """The recipe; with the size of a point in place of its own.

        Raises: RecipeError.
        """
        sized = [f"shape=[{','.join(map(str, shape))}]"] if shape else []
        return load_recipe(self.recipe, [*self.settings, *sized])

    @property
    def channels(self) -> int:
        """Channels of the images that the network sees."""
        return self.loaded()["shape"][-3]

    def macs(self, shape: Shape) -> int:
        """Multiply-adds of one image, counted without memory."""
        return summary(self.loaded(shape))["macs"] or 0

    def build(self, shape: Shape, device: torch.device, dtype: torch.dtype) -> nn.Module:
        """The backbone, initialised on the device."""
        forked = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=forked), torch.device(device):
            torch.manual_seed(0)
            return build_backbone(self.loaded(shape)).to(dtype).eval().requires_grad_(False)


GPU_TRIO = (
    Contestant("DiM-H", "dim_h_imagenet256"),
    Contestant("U-ViT 24x64", "uvit_h_imagenet256", ("backbone.width=1536", "backbone.mixer.heads=24")),
    Contestant("U-ViT 12x128", "uvit_h_imagenet256", ("backbone.width=1536", "backbone.mixer.heads=12")),
    Contestant("plain Mamba", "mamba_h_imagenet256"),
)
"""0.86 to 0.89 billion parameters each; U-ViT in two ways of cutting its width into heads."""

CPU_TRIO = (
    Contestant("DiM-S", "dim_s_cifar"),
    Contestant("U-ViT-S", "uvit_s_cifar"),
    Contestant("plain Mamba-S", "mamba_s_cifar"),
)
"""44 to 51 million parameters each."""


def contestants(words: Sequence[str], labels: Sequence[str] = ()) -> list[Contestant]:
    """Recipes from a command line; a setting belongs to the recipe before it, or to all if it stands before them.

    Args:
        labels: one a recipe; without them, what all have in common is left out of their names.

    Raises: RecipeError for settings without a recipe, or labels that are not one a recipe.
    """
    shared: list[str] = []
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if "=" not in word:
            found.append((word, [*shared]))
        else:
            (found[-1][1] if found else shared).append(word)
    if shared and not found:
        raise RecipeError("a setting needs a recipe", where=shared[0], fix="write for instance RECIPE key=value")
    if labels and len({*labels}) != len(found):
        raise RecipeError(f"{len(labels)} names for {len(found)} recipes", where="--labels", fix="give each its own")
    if labels:
        return [Contestant(label, recipe, tuple(settings)) for label, (recipe, settings) in zip(labels, found)]
    common = set.intersection(*(set(settings) for _, settings in found)) if len(found) > 1 else set()
    return [Contestant(" ".join([_short(recipe), *(s for s in settings if s not in common)]), recipe, tuple(settings))
            for recipe, settings in found]  # fmt: skip


def _short(recipe: str) -> str:
    return recipe.rsplit("/", 1)[-1].removesuffix(".yaml")


def inputs(backbone: nn.Module, shape: Shape, batch: int, device: torch.device,
           dtype: torch.dtype) -> tuple[Tensor, Tensor, dict[str, Tensor]]:  # fmt: skip
    """x, t and labels of one call: noise, times in the middle, the null class or class 0."""
    generator = torch.Generator(device).manual_seed(0)
    x = torch.randn(batch, *shape, generator=generator, device=device, dtype=dtype)
    return x, torch.full((batch,), 0.5, device=device), labels(backbone, batch, device)


def labels(backbone: nn.Module, batch: int, device: torch.device) -> dict[str, Tensor]:
    """A value for every input besides time."""
    embeds = [m for m in backbone.modules() if hasattr(m, "reads") and hasattr(m, "null") and m.reads != "t"]
    zero = torch.zeros(batch, dtype=torch.int64, device=device)
    return {e.reads: e.null(batch, device) if getattr(e, "has_null", True) else zero for e in embeds}


def patches(backbone: nn.Module, shape: Shape) -> int:
    """Tokens that carry the image, which is the size that cost is set against; pads and prefix are not counted."""
    *frames, _, height, width = shape
    patch = getattr(backbone, "patch", None)
    if patch is None:
        return height * width * (frames[0] if frames else 1)
    return patch.grid(height, width, *frames).cells
