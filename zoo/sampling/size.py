"""The size of images in pixels, and of what the network sees behind an autoencoder."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

from zoo.errors import ShapeError
from zoo.recipe import Recipe

Size = tuple[int, int]


def start_shape(backbone: nn.Module, recipe: Recipe, autoencoder: Any, size: Size | None,
                factor: int = 1) -> tuple[int, ...]:  # fmt: skip
    """The shape (C,H,W) or (T,C,H,W) of the noise behind images of `size` (height, width) in pixels.

    Args:
        size: None is the size of the recipe.
        factor: of the smaller image that the guidance looks at as well.

    Raises: ShapeError if the size cannot be cut into the network's patches; it names the nearest that can.
    """
    *outer, height, width = recipe["shape"]
    size = size or (height * autoencoder.factor, width * autoencoder.factor)
    check_size(size, autoencoder.factor * getattr(getattr(backbone, "patch", None), "size", 1) * factor)
    return (*outer, *(side // autoencoder.factor for side in size))


def check_size(size: Size, multiple: int) -> None:
    """Raises: ShapeError unless height and width are positive multiples of `multiple`."""
    if all(side > 0 and side % multiple == 0 for side in size):
        return
    below = [max(side // multiple, 1) * multiple for side in size]
    above = [max(-(-side // multiple), 1) * multiple for side in size]
    near = " or ".join(dict.fromkeys(f"{h}x{w}" for h, w in (below, above)))
    raise ShapeError(f"size {size[0]}x{size[1]} is not a multiple of {multiple}, this model's patch times the "
                     "factors of its autoencoder and of upsample guidance", fix=f"use {near}")


def parse_size(text: str) -> Size:
    """(height, width) from "32x48", or from "32" for a square.

    Raises: ShapeError if the text is neither.
    """
    match = re.fullmatch(r"(\d{1,6})(?:x(\d{1,6}))?", text.strip())
    if not match:
        raise ShapeError(f"size {text!r}", fix="write HEIGHTxWIDTH, for instance 32x48")
    return int(match[1]), int(match[2] or match[1])
