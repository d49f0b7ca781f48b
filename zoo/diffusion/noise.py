"""Normal noise that depends on (seed, image, draw) only: not on batch size, device, rank or precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ZooError

MASK = 2**64 - 1


class Noise:
    """Standard normal numbers for a batch of numbered images, drawn on the CPU.

    Each image and draw has its own stream of a counter-based generator (Philox; key: seed and image,
    counter: draw), so nothing depends on what was drawn before. `start(size)` is draw 0; a sampler's
    step i calls the object, which is draw i + 1.
    """

    def __init__(self, seed: int, images: Sequence[int]):
        self.seed, self.images = seed & MASK, [int(i) for i in images]

    def start(self, size: Sequence[int], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32):
        """The first noise, (B, *size): size is that of one image, (C,H,W) in pixels or in cells of a latent."""
        return self._draw(0, tuple(size)).to(device, dtype)

    def __call__(self, i: int, x: Tensor) -> Tensor:
        """Noise for step i, like x (B,...). Raises: ZooError for another number of images."""
        if len(x) != len(self.images):
            raise ZooError(f"noise for {len(self.images)} images was asked for {len(x)}", where="noise")
        return self._draw(i + 1, tuple(x.shape[1:])).to(x.device, x.dtype)

    def _draw(self, draw: int, size: tuple[int, ...]) -> Tensor:
        out = np.empty((len(self.images), *size), dtype=np.float32)
        for row, image in zip(out, self.images):
            key = np.array([self.seed, image & MASK], dtype=np.uint64)
            counter = np.array([0, 0, 0, draw], dtype=np.uint64)  # the low words count within the draw
            bits = np.random.Philox(key=key, counter=counter)
            np.random.Generator(bits).standard_normal(out=row, dtype=np.float32)
        return torch.from_numpy(out)
