"""How an extractor that knows pictures looks at clips: at their frames, and at what changes between them.

Legend: B clips, T frames, H W pixels, n features.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import torch
from torch import Tensor

from zoo.errors import ShapeError, ZooError

STREAMS = ("frames", "changes")
"""`frames`: features of every frame, averaged over the clip. `changes`: those of the pictures of what changes."""


def clip_streams(look: Callable[[Tensor], Tensor], clips: Tensor, streams: Collection[str]) -> dict[str, Tensor]:
    """uint8 (B,T,3,H,W) -> each stream (B,n); `look` gives the features (N,n) of uint8 (N,3,H,W)."""
    seen = {"frames": lambda: clips, "changes": lambda: changes(clips)}
    return {name: _averaged(look, seen[name]()) for name in streams}


def changes(clips: Tensor) -> Tensor:
    """Pictures of what changes from frame to frame, uint8 (B,T-1,3,H,W): half of the difference, on grey.

    Raises: ShapeError for clips of one frame.
    """
    if clips.shape[1] < 2:
        raise ShapeError("a clip of one frame has no changes", where="evaluation")
    now = clips.to(torch.int16)
    return ((now[:, 1:] - now[:, :-1] + 256) // 2).clamp_(0, 255).to(torch.uint8)


def check_kind(streams: Collection[str], frames: int) -> None:
    """Whether what is looked at has these streams; `frames` of a clip, 0 for images.

    Raises: ZooError.
    """
    for stream in sorted(streams):
        if frames and stream not in STREAMS:
            raise ZooError(f"{stream} are of images, these are clips of {frames} frames", where="evaluation",
                           fix="ask for the metric clip_fd")
        if not frames and stream in STREAMS:
            raise ZooError(f"{stream} are of clips, these are images", where="evaluation", fix="ask for the metric fd")


def _averaged(look: Callable[[Tensor], Tensor], clips: Tensor) -> Tensor:
    features = look(clips.flatten(0, 1))
    return features.unflatten(0, clips.shape[:2]).float().mean(1)
