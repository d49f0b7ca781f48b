"""Images from a run or a weights file in one call: `zoo.sample`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from zoo.errors import RecipeError, ZooError
from zoo.recipe import Recipe
from zoo.recipe.schema import SAMPLED
from zoo.sampling.generate import generate
from zoo.sampling.labels import in_turn, parse_classes
from zoo.sampling.size import Size
from zoo.weights.load import from_pretrained


def sample(source: str | Path, n: int = 4, *, seed: int = 0, classes: Sequence[int | str] | None = None,
           size: Size | None = None, preset: str | None = None, overrides: Sequence[str] = (), batch: int = 64,
           device: str = "auto", precision: str = "auto", ema: bool = True,
           allow_plugins: bool = False) -> list[np.ndarray]:  # fmt: skip
    """`n` images (H,W,C) or videos (T,H,W,C) uint8 from a run folder, a weights file or a hub id.

    Args:
        classes: names, numbers or "label=class", taken in turn; None takes all.
        size: (height, width) in pixels; None is the recipe's.
        preset: one of the recipe's named settings, such as "picture".
        overrides: settings of sampler, guidance and autoencoder, such as "sampler.steps=50".
        precision: fp32, tf32, bf16, fp16, or auto, see `pick_precision`.
        ema: prefer averaged weights where there are any.

    Raises: CheckpointError, RecipeError, ShapeError, ZooError.
    """
    backbone = from_pretrained(source, ema=ema, device=pick_device(device), allow_plugins=allow_plugins)
    recipe = adjusted(backbone.recipe, overrides, preset)
    wanted = None if classes is None else parse_classes(classes, backbone, recipe)
    labels = None if wanted is None else in_turn(wanted, range(n))
    images = generate(backbone, recipe, range(n), seed=seed, labels=labels, size=size, batch=batch,
                      precision=pick_precision(precision, next(backbone.parameters()).device, recipe))  # fmt: skip
    return [image for _, image in images]


def adjusted(recipe: Recipe, overrides: Sequence[str], preset: str | None = None) -> Recipe:
    """The recipe with other settings for sampling: the preset's, then the overrides over them.

    A guidance that works on top of another, such as `guidance.use=upsample`, takes the recipe's own as its base,
    unless the overrides name one.

    Raises: RecipeError for a setting that the weights have fixed.
    """
    for override in overrides:
        if override.partition("=")[0].strip().split(".")[0] not in SAMPLED:
            raise RecipeError("the weights have fixed this", where=override, allowed=[f"{a}.*" for a in SAMPLED])
    before = recipe.preset(preset) if preset else recipe
    after = before.override(list(overrides)) if overrides else before
    base_named = any("base" in override for override in overrides)
    if "base" in after["guidance"] and "base" not in before["guidance"] and not base_named:
        return after.override({"guidance.base": before["guidance"]})
    return after


def pick_precision(name: str, device: torch.device, recipe: Recipe) -> str:
    """"auto" is what the model was trained with on a GPU, as the papers sample, and fp32 anywhere else.

    In half precision the last bits of an image depend on the batch that it is drawn in; fp32 keeps them out of
    sight of 8 bits.
    """
    if name != "auto":
        return name
    return recipe["train"]["precision"] if device.type == "cuda" else "fp32"


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
