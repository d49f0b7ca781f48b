"""What sources of clips share: some frames of a video, each decoded as an image is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageSequence

from zoo.data.decode import decode
from zoo.data.pictures import Pictures
from zoo.data.protocols import Bad, Fit
from zoo.errors import DataError, ZooError

Frame = bytes | Path | np.ndarray
VIDEOS = (".mp4", ".webm", ".avi", ".mov", ".mkv", ".m4v", ".mpg", ".mpeg")
ANIMATIONS = (".gif",)
LOCAL = ["-protocol_whitelist", "file"]
"""A file that is a playlist may not make ffmpeg open the network."""


class Clips(Pictures):
    """Clips that are decoded when asked for: samples (T,H,W,C), see `Pictures`.

    Args:
        read: index -> the frames of that clip, each bytes of a file, its path, or (H,W,3) uint8 pixels.
        size: (frames, height, width).
    """

    read: Callable[[int], Sequence[Frame]]  # type: ignore[assignment]

    def __init__(self, names: Sequence[str], read: Callable[[int], Sequence[Frame]], labels: Mapping[str, np.ndarray],
                 classes: Mapping[str, list[str]], *, size: tuple[int, int, int], fit: Fit = "crop",
                 bad: Bad = "raise"):  # fmt: skip
        super().__init__(names, read, labels, classes, size=size, fit=fit, bad=bad)  # type: ignore[arg-type]

    def _pixels(self, index: int) -> np.ndarray:
        frames, height, width = self.size  # type: ignore[misc]
        found = self.read(index)
        if len(found) != frames:
            raise DataError(f"{len(found)} frames, a clip has {frames}")
        return np.stack([decode(frame, (height, width), self.fit) for frame in found])

    def _check_size(self, size: tuple[int, ...]) -> None:
        if len(size) != 3:
            raise DataError("these data are clips, the recipe's shape is that of images", where="shape",
                            fix="write [T, C, H, W], T frames")


def chosen_frames(count: int, frames: int, stride: int, window: int, windows: int) -> list[int]:
    """Which of a video's `count` frames make clip number `window` of `windows`, spread evenly over it.

    Raises: DataError if the video is too short.
    """
    length = (frames - 1) * stride + 1
    if count < length:
        raise DataError(f"{count} frames; {frames} with stride {stride} need {length}",
                        fix="lower data.stride, or set data.bad=skip")
    free = count - length
    first = free // 2 if windows == 1 else free * window // (windows - 1)
    return [first + stride * k for k in range(frames)]


def animation(path: Path) -> list[np.ndarray]:
    """All frames of a GIF as stored, each (H,W,3) uint8. Raises: DataError if it cannot be read."""
    try:
        with Image.open(path, formats=("GIF",)) as image:
            return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise DataError(f"not a readable GIF ({type(error).__name__}: {error})") from error


def video_length(path: Path) -> int:
    """Frames of a video file. Raises: DataError if it is not one, ZooError without the extra `video`."""
    try:
        return ffmpeg().count_frames_and_secs(str(path.resolve()))[0]
    except (OSError, RuntimeError) as error:
        raise DataError(f"not a readable video: {_brief(error)}") from error


def video_frames(path: Path, wanted: Sequence[int]) -> list[np.ndarray]:
    """Some frames of a video file, in rising order, each (H,W,3) uint8."""
    try:
        return list(_picked(ffmpeg().read_frames(str(path.resolve()), input_params=LOCAL), wanted))
    except (OSError, RuntimeError) as error:
        raise DataError(f"not a readable video: {_brief(error)}") from error


def _picked(frames: Iterator, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    width, height = next(frames)["size"]
    keep = set(wanted)
    try:
        for i, data in enumerate(islice(frames, max(keep) + 1)):
            if i in keep:
                yield np.frombuffer(data, dtype=np.uint8).reshape(height, width, 3)
    finally:
        frames.close()  # type: ignore[attr-defined]


def ffmpeg():
    """The package imageio_ffmpeg. Raises: ZooError that names the extra."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise ZooError(f"video files need a package: {error}", fix='pip install "backbone-zoo[video]"') from error
    return imageio_ffmpeg


def _brief(error: Exception) -> str:
    return next((line for line in reversed(str(error).strip().splitlines()) if line.strip()), type(error).__name__)
