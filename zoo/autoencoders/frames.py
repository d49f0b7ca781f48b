"""Autoencoders know images; a video goes through them frame by frame."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def by_frame(code: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`code` of images (B,C,H,W), or of every frame of videos (B,T,C,H,W)."""
    return code(x) if x.ndim == 4 else code(x.flatten(0, 1)).unflatten(0, x.shape[:2])
