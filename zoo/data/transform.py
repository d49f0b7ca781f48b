"""Pixels -> what a network sees. Legend: B batch, C channels, H height, W width; frames may stand after B."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.data.order import chance


def to_float(pixels_BHWC: Tensor) -> Tensor:
    """uint8 (B,[T,]H,W,C) -> float32 (B,[T,]C,H,W) in [-1, 1]: 0 becomes -1 and 255 becomes 1."""
    planes = pixels_BHWC.movedim(-1, -3).contiguous()  # while a pixel is one byte
    return planes.float().div_(127.5).sub_(1)


def flips(seed: int, positions: np.ndarray) -> np.ndarray:
    """Which positions are mirrored, bool (B,): one in two."""
    return chance(seed, "flip", positions) < 0.5


def mirror(pixels_BHWC: Tensor, which: np.ndarray) -> Tensor:
    """Mirror some images left to right, in place; `which` is bool (B,)."""
    rows = torch.from_numpy(np.flatnonzero(which))
    pixels_BHWC[rows] = pixels_BHWC[rows].flip(-2)
    return pixels_BHWC
