"""The sizes of a sweep: along the resolution, or along the frames of a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.bench.contestant import Shape
from zoo.sampling.size import check_size

FACTOR = 8  # pixels a side of a latent pixel, as the autoencoders of latent diffusion have it


class Point(NamedTuple):
    """One size: its number on the axis, and the image behind the channels that each network has for itself."""

    at: int
    height: int
    width: int
    frames: int | None = None

    def shape(self, channels: int) -> Shape:
        """(C,H,W) or (T,C,H,W) as the network sees it."""
        image = (channels, self.height, self.width)
        return image if self.frames is None else (self.frames, *image)

    @property
    def pixels(self) -> int:
        """Latent pixels of all frames."""
        return self.height * self.width * (self.frames or 1)


def by_resolution(sizes: Sequence[int]) -> list[Point]:
    """Square images of so many pixels a side, seen as latents.

    Raises: ShapeError if a size is not a multiple of 16, a patch of two latent pixels.
    """
    for size in sizes:
        check_size((size, size), 2 * FACTOR)
    return [Point(size, size // FACTOR, size // FACTOR) for size in sizes]


def by_frames(counts: Sequence[int], size: int) -> list[Point]:
    """Videos of so many latent frames of `size` pixels a side.

    Raises: ShapeError if the size is not a multiple of 16.
    """
    check_size((size, size), 2 * FACTOR)
    return [Point(count, size // FACTOR, size // FACTOR, count) for count in counts]
