"""Images from a run or a weights file in one call: `zoo.sample`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from zoo.errors import RecipeError, ZooError
from zoo.recipe import Recipe
from zoo.sampling.generate import generate
from zoo.sampling.labels import in_turn, parse_classes
from zoo.sampling.size import Size
from zoo.weights.load import from_pretrained

ADJUSTABLE = ("sampler", "guidance", "autoencoder")


def sample(source: str | Path, n: int = 4, *, seed: int = 0, classes: Sequence[int | str] | None = None,
           size: Size | None = None, overrides: Sequence[str] = (), batch: int = 64, device: str = "auto",
           ema: bool = True, allow_plugins: bool = False) -> list[np.ndarray]:  # fmt: skip
    """`n` images (H,W,C) or videos (T,H,W,C) uint8 from a run folder, a weights file or a hub id.

    Args:
        classes: names, numbers or "label=class", taken in turn; None takes all.
        size: (height, width) in pixels; None is the recipe's.
        overrides: settings of sampler, guidance and autoencoder, such as "sampler.steps=50".
        ema: prefer averaged weights where there are any.

    Raises: CheckpointError, RecipeError, ShapeError, ZooError.
    """
    backbone = from_pretrained(source, ema=ema, device=pick_device(device), allow_plugins=allow_plugins)
    recipe = adjusted(backbone.recipe, overrides)
    wanted = None if classes is None else parse_classes(classes, backbone, recipe)
    labels = None if wanted is None else in_turn(wanted, range(n))
    images = generate(backbone, recipe, range(n), seed=seed, labels=labels, size=size, batch=batch)
    return [image for _, image in images]


def adjusted(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with other settings for sampling.

    Raises: RecipeError for a setting that the weights have fixed.
    """
    for override in overrides:
        if override.partition("=")[0].split(".")[0] not in ADJUSTABLE:
            raise RecipeError("the weights have fixed this", where=override, allowed=[f"{a}.*" for a in ADJUSTABLE])
    return recipe.override(list(overrides)) if overrides else recipe


def pick_device(name: str) -> torch.device:
    """"auto" is the accelerator of this machine if there is one, else the CPU.

    Raises: ZooError if the device is unknown or absent.
    """
    if name == "auto":
        best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(best)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ZooError(f"device {name!r} cannot be used: {reason}", fix="zoo-doctor says what there is") from None
    return torch.device(name)
