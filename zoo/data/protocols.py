"""What a data set is to the rest of the project.

Legend: H height, W width, C channels, T frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

Split = Literal["train", "val"]
Fit = Literal["crop", "resize", "pad"]
Bad = Literal["raise", "skip"]


class Sample(NamedTuple):
    """One example: image (H,W,C) or (T,H,W,C) uint8, class number of each label, and a name for messages."""

    image: np.ndarray
    labels: dict[str, int]
    name: str


class Latent(NamedTuple):
    """What a data set of latents says about itself: the autoencoder's recipe and weights, and how they are scaled."""

    autoencoder: Mapping[str, Any]
    fingerprint: str
    scale: float
    shift: float


class Dataset(Protocol):
    """Random access to the samples of one split; safe to read from several threads and processes.

    A part of the shelf `zoo/data/source` is a class `(size, split, *, fields...)`, where `size` is
    (height, width) in pixels, or (frames, height, width) for clips, as the recipe's `shape` wants it. Every sample has
    the same shape and the same labels.

    A data set of latents gives float (c,h,w), or moments (2c,h,w), in place of pixels, and has the attribute
    `latent`. `mirrored(indices, which)` are then the indices of stored copies: latents cannot be mirrored.
    """

    classes: Mapping[str, list[str]]
    """Label -> names of its classes, for the labels that were asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class KnowsClasses(Protocol):
    """A source that can name its classes without opening a file, given the fields of a recipe."""

    @staticmethod
    def known_classes(fields: Mapping[str, object]) -> dict[str, list[str]]: ...
