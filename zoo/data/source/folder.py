"""Images in a folder or a zip, however nested."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from zoo.data.archive import Archive
from zoo.data.pictures import Pictures, chosen
from zoo.data.protocols import Split
from zoo.data.splits import select, split_word
from zoo.errors import DataError
from zoo.registry import register

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif")


@register("dataset", "folder", aliases=("zip",))
class Folder(Pictures):
    """A folder or zip of images; the folders on top are the classes, or train and val (or test).

    RGB uint8 of the recipe's size. Without folders there is no label. The order is that of the names.

    Raises: DataError if there are no images, the archive is not safe, or only some images lie in a class.
    """

    def __init__(
        self,
        size: tuple[int, int],
        split: Split,
        *,
        path: str,  # of the folder or the zip
        labels: list[str] = ["label"],  # what the model is told; [] for nothing
        fit: Literal["crop", "resize", "pad"] = "crop",  # keep the middle, distort, or add white
        bad: Literal["raise", "skip"] = "raise",  # what to do about images that cannot be read
        holdout: float = 0.05,  # share that is held out where there is no val or test folder
    ):
        root = Path(path).expanduser()
        names, read = open_images(root)
        tops, words = split_tops([name.split("/")[:-1] for name in names])
        offered, numbers = number_classes(names, tops, root, bool(labels))
        classes = chosen(labels, offered, "data.labels") if offered else {}
        picked = select(words, names, split, holdout)
        values = {label: numbers[picked] for label in classes}
        super().__init__([f"{root}/{names[i]}" for i in picked], partial(_read, read, [names[i] for i in picked]),
                         values, classes, size=size, fit=fit, bad=bad)  # fmt: skip


def _read(read, names: list[str], index: int) -> bytes | Path:
    return read(names[index])


def open_images(root: Path):
    """(sorted names with /, name -> bytes or path) of the images in a folder or zip."""
    if root.is_dir():
        names, read = list(walk(root)), root.joinpath
    elif root.is_file():
        archive = Archive(root)
        names, read = archive.names, archive.read
    else:
        raise DataError("there is no such folder or zip", where=str(root), fix="set data.path")
    found = sorted(name for name in names if name.lower().endswith(ENDINGS) and not hidden(name))
    if not found:
        raise DataError("there are no images", where=str(root), allowed=f"files that end in {' '.join(ENDINGS)}")
    return found, read


def hidden(name: str) -> bool:
    """Whether a file is of the system, not of the data."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def walk(root: Path) -> Iterator[str]:
    """Files under a folder, through links, but each folder once."""
    seen = set()
    for place, folders, files in os.walk(root, followlinks=True):
        here = os.stat(place)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort()
        yield from (Path(place, file).relative_to(root).as_posix() for file in files)


def split_tops(tops: list[list[str]]) -> tuple[list[list[str]], list[str | None]]:
    """(folders below the split's, the split's word) of each file; no words unless all lie in train, val or test."""
    words = [split_word(folders[0]) if folders else None for folders in tops]
    if None in words or "train" not in words:
        return tops, [None] * len(tops)
    return [folders[1:] for folders in tops], words


def number_classes(names: list[str], tops: list[list[str]], root: Path, wanted: bool
                   ) -> tuple[dict[str, list[str]], np.ndarray]:  # fmt: skip
    """The classes by name, and the class number of each image; ({}, nothing) if no image lies in a folder."""
    titles = sorted({folders[0] for folders in tops if folders})
    if not titles or not wanted:
        return {}, np.zeros(0, dtype=np.int64)
    loose = next((name for name, folders in zip(names, tops) if not folders), None)
    if loose is not None:
        raise DataError(f"{loose!r} lies in no class, others do", where=str(root), fix="move it, or set data.labels=[]")
    number = {title: i for i, title in enumerate(titles)}
    return {"label": titles}, np.array([number[folders[0]] for folders in tops], dtype=np.int64)
