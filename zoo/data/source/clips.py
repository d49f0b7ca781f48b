"""Clips from folders of frames, from GIFs and from video files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from zoo.data.clips import (
    ANIMATIONS,
    VIDEOS,
    Clips,
    Frame,
    animation,
    chosen_frames,
    ffmpeg,
    video_frames,
    video_length,
)
from zoo.data.pictures import chosen
from zoo.data.protocols import Split
from zoo.data.source.folder import ENDINGS, hidden, number_classes, split_tops, walk
from zoo.data.splits import select
from zoo.errors import DataError, at_least
from zoo.registry import register


@register("dataset", "clips")
class VideoClips(Clips):
    """Clips of a folder; a video is a GIF, a folder of frames or, with the extra `video`, mp4, webm, avi, mov or mkv.

    The folders on top are the classes, or train and val (or test), as for `folder`. Frames of a folder are in the
    order of their names. All clips of a video lie in the same split.

    Raises: DataError if there are no videos, one is too short or unreadable, or only some lie in a class.
    """

    def __init__(
        self,
        size: tuple[int, int, int],
        split: Split,
        *,
        path: str,  # of the folder
        stride: int = 1,  # frames of the video from one of the clip to the next
        windows: int = 1,  # clips of each video, evenly over its length; one is its middle
        labels: list[str] = ["label"],  # what the model is told; [] for nothing
        fit: Literal["crop", "resize", "pad"] = "crop",  # keep the middle, distort, or add white
        bad: Literal["raise", "skip"] = "raise",  # what to do about clips that cannot be read
        holdout: float = 0.05,  # share of the videos that is held out where there is no val or test folder
    ):
        at_least(1, stride, "data.stride")
        at_least(1, windows, "data.windows")
        root = Path(path).expanduser()
        videos = find_videos(root)
        names = list(videos)
        tops, words = split_tops([name.split("/")[:-1] for name in names])
        offered, numbers = number_classes(names, tops, root, bool(labels))
        classes = chosen(labels, offered, "data.labels") if offered else {}
        picked = select(words, names, split, holdout)
        numbers = {label: np.repeat(numbers[picked], windows) for label in classes}
        self.videos = [videos[names[i]] for i in picked]
        self.stride, self.windows = stride, windows
        titles = [f"{root}/{names[i]}" + (f" ({w + 1} of {windows})" if windows > 1 else "")
                  for i in picked for w in range(windows)]  # fmt: skip
        super().__init__(titles, partial(_read, self.videos, size, stride, windows), numbers, classes,
                         size=size, fit=fit, bad=bad)  # fmt: skip


def find_videos(root: Path) -> dict[str, Path | list[Path]]:
    """Name with / -> a video file, or the frames of a folder; sorted by name.

    Raises: DataError if there are none, ZooError if video files need a package that is missing.
    """
    if not root.is_dir():
        raise DataError("there is no such folder", where=str(root), fix="set data.path")
    found: dict[str, Path | list[Path]] = {}
    for name in sorted(name for name in walk(root) if not hidden(name)):
        if name.lower().endswith((*VIDEOS, *ANIMATIONS)):
            found[name] = root / name
        elif name.lower().endswith(ENDINGS) and "/" in name:
            frames = found.setdefault(name.rpartition("/")[0], [])
            if isinstance(frames, list):
                frames.append(root / name)
    if not found:
        raise DataError("there are no videos", where=str(root),
                        allowed=f"folders of frames, or files that end in {' '.join((*ANIMATIONS, *VIDEOS))}")
    if any(name.lower().endswith(VIDEOS) for name in found):
        ffmpeg()
    return dict(sorted(found.items()))


def _read(videos, size, stride: int, windows: int, index: int) -> list[Frame]:
    video, window = videos[index // windows], index % windows
    if isinstance(video, list):
        return [video[k] for k in chosen_frames(len(video), size[0], stride, window, windows)]
    if video.name.lower().endswith(ANIMATIONS):
        frames = animation(video)
        return [frames[k] for k in chosen_frames(len(frames), size[0], stride, window, windows)]
    return video_frames(video, chosen_frames(video_length(video), size[0], stride, window, windows))  # type: ignore
