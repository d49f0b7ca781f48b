"""Images and data sets that are made on the spot."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from zoo.data.protocols import Sample


def pixels(seed: int, height: int = 10, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(seed: int = 0, height: int = 10, width: int = 12) -> bytes:
    return encoded(Image.fromarray(pixels(seed, height, width)))


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()



class Numbered:
    """Sample i shows the number i in every pixel but one, so that a batch says what it holds."""

    classes = {"label": [str(i) for i in range(7)]}

    def __init__(self, n: int, size: tuple[int, int] = (4, 6)):
        self.n, self.size, self.reads = n, size, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        self.reads += 1
        image = np.full((*self.size, 3), index % 256, dtype=np.uint8)
        image[0, 0] = index // 256  # a mark on the left, for flips
        return Sample(image, {"label": index % 7}, str(index))
