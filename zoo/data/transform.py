"""Pixels -> what a network sees. Legend: B batch, C channels, H height, W width; frames may stand after B."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.data.order import chance


def to_float(pixels_BHWC: Tensor) -> Tensor:
    """uint8 (B,[T,]H,W,C) -> float32 (B,[T,]C,H,W) in [-1, 1]: 0 becomes -1 and 255 becomes 1.

    Latents, which are no bytes, keep values and layout (B,C,H,W).
    """
    if pixels_BHWC.dtype != torch.uint8:
        return pixels_BHWC.float()
    planes = pixels_BHWC.movedim(-1, -3).contiguous()  # while a pixel is one byte
    return planes.float().div_(127.5).sub_(1)


def flips(seed: int, positions: np.ndarray) -> np.ndarray:
    """Which positions are mirrored, bool (B,): one in two."""
    return chance(seed, "flip", positions) < 0.5


def mirrored(images_BCHW: Tensor, which: Tensor) -> Tensor:
    """Some images mirrored left to right, where they are; `which` is bool (B,)."""
    return torch.where(which.view(-1, *[1] * (images_BCHW.ndim - 1)), images_BCHW.flip(-1), images_BCHW)
