"""Videos as files: GIF by Pillow, MP4 and WebM by ffmpeg (extra `video`). Legend: T frames, H height, W width."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from zoo.data.clips import ffmpeg, video_frames
from zoo.errors import ShapeError, ZooError
from zoo.sampling.picture import grid, to_picture

CODECS = {"mp4": "libx264", "webm": "libvpx-vp9"}
FORMATS = ("gif", *CODECS)
LEGIBLE = 64
"""Pixels of the shorter side to which frames of MP4 and WebM are enlarged; these formats need even sides."""


def check_format(name: str, fps: float) -> None:
    """Raises: ZooError for an unknown format, a speed that is none, or without the package that the format needs."""
    if name not in FORMATS:
        raise ZooError(f"format {name!r}", allowed=FORMATS, given=name)
    if not 0 < fps <= 100:
        raise ZooError(f"{fps:g} frames a second", allowed="above 0, up to 100")
    if name in CODECS:
        ffmpeg()


def save_clip(clip: np.ndarray, path: Path, fps: float = 8.0) -> Path:
    """Write (T,H,W,C) uint8 as .gif, .mp4 or .webm, whole or not at all; returns its path.

    A GIF has up to 256 colours a frame, and times of whole hundredths of a second.
    """
    check_format(path.suffix[1:], fps)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        if path.suffix == ".gif":
            _write_gif(clip, aside, fps)
        else:
            _write_video(clip, aside, fps, path.suffix[1:])
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def read_clip(path: Path, frames: int, fps: float = 8.0) -> np.ndarray:
    """The clip that `save_clip` wrote, (T,H,W,3) uint8 up to its losses.

    Raises: ShapeError if the file has other frames, DataError if it is unreadable.
    """
    found = _read_gif(path, fps) if path.suffix == ".gif" else video_frames(path, range(frames))
    if len(found) != frames:
        raise ShapeError(f"{len(found)} frames, not {frames}", where=str(path), fix="delete the file")
    return np.stack(found)


def clip_grid(clips: Sequence[np.ndarray]) -> np.ndarray:
    """Clips (T,H,W,C) of one size side by side, moving together: (T,H',W',3). Raises: ShapeError."""
    if len({len(clip) for clip in clips}) != 1:
        raise ShapeError("a grid needs clips of one length")
    return np.stack([np.asarray(grid(frames)) for frames in zip(*clips)])


def _write_gif(clip: np.ndarray, path: Path, fps: float) -> None:
    pictures = [to_picture(frame).convert("RGB").quantize(256, dither=Image.Dither.NONE) for frame in clip]
    pictures[0].save(path, format="GIF", save_all=True, append_images=pictures[1:], duration=_pause(fps), loop=0)


def _read_gif(path: Path, fps: float) -> list[np.ndarray]:
    """Frames that are alike lie in a GIF once, shown for longer."""
    found = []
    with Image.open(path, formats=("GIF",)) as image:
        for frame in ImageSequence.Iterator(image):
            times = max(round(frame.info.get("duration", 0) / _pause(fps)), 1)
            found += [np.asarray(frame.convert("RGB"))] * times
    return found


def _pause(fps: float) -> int:
    """Milliseconds between frames, as a GIF can say them."""
    return max(round(100 / fps), 1) * 10


def _write_video(clip: np.ndarray, path: Path, fps: float, format: str) -> None:
    times = -(-LEGIBLE // min(clip.shape[1:3])) if min(clip.shape[1:3]) < LEGIBLE else 1
    frames = np.broadcast_to(clip, (*clip.shape[:3], 3)).repeat(times, 1).repeat(times, 2)
    writer = ffmpeg().write_frames(str(path.resolve()), (frames.shape[2], frames.shape[1]), fps=fps, quality=8,  # type: ignore[arg-type]
                                   codec=CODECS[format], macro_block_size=2, ffmpeg_log_level="error",
                                   output_params=["-f", format])  # fmt: skip
    try:
        writer.send(None)
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()
