"""What evaluation expects from an extractor and from a metric.

Legend: B images, C channels, H W pixels. A stream is one kind of numbers that an extractor gives of each image:
`features`, pooled; `spatial`, a map that still knows where things are; `logits` of a classifier.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from zoo.eval.tally import Tally


class Extractor(Protocol):
    """An nn.Module from pixels to streams, each image by itself. Given: nothing."""

    name: str
    """What its figures are called by: `FD-<name>`."""
    streams: tuple[str, ...]
    resize: str
    """What it does to the size of an image, in words; part of the protocol."""

    # `content`, where there is one: the SHA-256 of its weights file, which stands for all that it has learned

    def __call__(self, pixels: Tensor, streams: Collection[str]) -> Mapping[str, Tensor]:
        """uint8 (B,3,H,W) -> each stream (B,n) float."""
        ...


class Metric(Protocol):
    """Figures from what is kept of the images and of the reference. Given: nothing."""

    figures: Mapping[str, str]
    """Name of each figure -> what it is called with Inception features alone."""
    moments: tuple[str, ...]
    """Streams whose mean and covariance it reads."""
    rows: tuple[str, ...]
    """Streams of which it reads every image's row."""
    compares: bool
    """Whether it needs a reference."""

    def __call__(self, images: Tally, reference: Tally | None, device: torch.device) -> Mapping[str, float]:
        """A value for each of `figures`, computed in float64."""
        ...
