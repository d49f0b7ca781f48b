"""How samples are written as files and read again: pictures, or videos of one format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from zoo.errors import ZooError
from zoo.sampling.motion import FORMATS, check_format, clip_grid, read_clip, save_clip
from zoo.sampling.picture import grid, save_picture, to_picture
from zoo.sampling.size import Size

ENDINGS = (".png", *(f".{name}" for name in FORMATS))


class Form(Protocol):
    """What samples are: images, or videos of `frames` frames."""

    @property
    def noun(self) -> str: ...
    @property
    def ending(self) -> str: ...
    @property
    def frames(self) -> int: ...
    @property
    def said(self) -> dict[str, Any]:
        """What the record of the samples says about it."""
        ...

    def save(self, sample: np.ndarray, path: Path) -> Path: ...
    def read(self, path: Path) -> np.ndarray: ...
    def whole(self, path: Path, size: Size) -> bool: ...
    def sheet(self, samples: Sequence[np.ndarray], path: Path) -> Path: ...


class Stills:
    """PNG files, and pictures of many."""

    noun, ending, frames = "images", ".png", 0

    def __init__(self):
        self.said: dict[str, Any] = {}

    def save(self, sample: np.ndarray, path: Path) -> Path:
        """Write (H,W,C) uint8."""
        return save_picture(to_picture(sample), path)

    def read(self, path: Path) -> np.ndarray:
        """(H,W,C) uint8."""
        with Image.open(path) as picture:
            pixels = np.asarray(picture)
        return pixels if pixels.ndim == 3 else pixels[..., None]

    def whole(self, path: Path, size: Size) -> bool:
        """Whether there is a picture of this size."""
        try:
            return path.exists() and self.read(path).shape[:2] == tuple(size)
        except (OSError, SyntaxError, ValueError):
            return False

    def sheet(self, samples: Sequence[np.ndarray], path: Path) -> Path:
        """All of them side by side."""
        return save_picture(grid(samples), path)


@dataclass(frozen=True)
class Moving:
    """Videos of `frames` frames in one format, and a grid of them in motion."""

    frames: int
    format: str = "gif"
    fps: float = 8.0
    noun = "videos"

    @property
    def ending(self) -> str:
        """Of the files' names."""
        return f".{self.format}"

    @property
    def said(self) -> dict[str, Any]:
        """Format and speed."""
        return {"format": self.format, "fps": self.fps}

    def save(self, sample: np.ndarray, path: Path) -> Path:
        """Write (T,H,W,C) uint8."""
        return save_clip(sample, path, self.fps)

    def read(self, path: Path) -> np.ndarray:
        """(T,H,W,3) uint8."""
        return read_clip(path, self.frames, self.fps)

    def whole(self, path: Path, size: Size) -> bool:
        """Whether there is such a video; MP4 and WebM may be enlarged."""
        try:
            height, width = self.read(path).shape[1:3] if path.exists() else (0, 0)
        except (OSError, SyntaxError, ValueError, ZooError):
            return False
        return (height, width) == tuple(size) or (self.format != "gif" and height > 0)

    def sheet(self, samples: Sequence[np.ndarray], path: Path) -> Path:
        """All of them side by side, moving together."""
        return save_clip(clip_grid(samples), path, self.fps)


def form_of(frames: int, format: str | None = None, fps: float | None = None) -> Form:
    """What a model's samples are written as; `frames` 0 means images.

    Raises: ZooError if a video format is asked for images, or cannot be written here.
    """
    if not frames:
        if format or fps:
            raise ZooError("this model makes images", where="--format" if format else "--fps", fix="leave it out")
        return Stills()
    form = Moving(frames, format or "gif", fps or 8.0)
    check_format(form.format, form.fps)
    return form
