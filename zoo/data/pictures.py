"""What every source of image files shares: names, a way to read one, labels, and what to do about bad ones."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo.data.decode import decode
from zoo.data.protocols import Bad, Fit, Sample
from zoo.errors import DataError

log = logging.getLogger("zoo.data")


class Pictures:
    """Images that are decoded when asked for.

    Args:
        names: one a sample, for messages; the order is that of the data set.
        read: index -> bytes of a file, its path, or (H,W,3) uint8 pixels.
        labels: label -> class number of each sample; what the model is told.
        classes: label -> names of the classes.
        bad: "raise" stops at an image that cannot be read and names it; "skip" says so once and gives the
            next good one instead, the same one every time, as long as no more than 1 % are bad (one may always be).

    Raises: DataError if `size` is that of clips.
    """

    def __init__(self, names: Sequence[str], read: Callable[[int], bytes | Path | np.ndarray],
                 labels: Mapping[str, np.ndarray], classes: Mapping[str, list[str]], *,
                 size: tuple[int, int], fit: Fit = "crop", bad: Bad = "raise"):  # fmt: skip
        self._check_size(size)
        self.names, self.read, self.labels, self.classes = names, read, dict(labels), dict(classes)
        self.size, self.bad = size, bad
        self.fit: Fit = fit
        self.broken: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """The sample at `index`. Raises: DataError with the name of an unreadable image."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} images")
        place = index % len(self)
        while True:
            if place not in self.broken:
                try:
                    return self._sample(place)
                except DataError as error:
                    self._report(place, error)
            place = (place + 1) % len(self)

    def _sample(self, index: int) -> Sample:
        try:
            image = self._pixels(index)
        except (DataError, OSError) as error:
            raise DataError(str(error), where=self.names[index]) from error
        return Sample(image, {name: int(values[index]) for name, values in self.labels.items()}, self.names[index])

    def _pixels(self, index: int) -> np.ndarray:
        """(H,W,3) uint8 of the size that was asked for."""
        return decode(self.read(index), self.size, self.fit)

    def _check_size(self, size: tuple[int, ...]) -> None:
        if len(size) != 2:
            raise DataError("these data are images, the recipe's shape is that of clips", where="shape",
                            fix="write [C, H, W], or take a data set of clips, for instance data.use=clips")

    def _report(self, index: int, error: DataError) -> None:
        if self.bad == "raise":
            raise DataError(f"{error}; mend or remove it, or set data.bad=skip") from error
        self.broken.add(index)
        log.warning("left out: %s", error)
        if len(self.broken) > max(1, len(self) // 100):
            examples = ", ".join(self.names[i] for i in sorted(self.broken)[:5])
            raise DataError(f"{len(self.broken)} of {len(self)} images cannot be read, for instance {examples}",
                            where="data", allowed="at most 1 % bad images") from error


def held_out(name: str, share: float) -> bool:
    """Whether a sample belongs to the held-out split, by its name alone: adding others never moves it."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") < share * 2**64


def chosen(wanted: Sequence[str], offered: Mapping[str, list[str]], where: str) -> dict[str, list[str]]:
    """The classes of the labels that a recipe asks for.

    Raises: DataError for a label that the source does not have.
    """
    for name in wanted:
        if name not in offered:
            raise DataError(f"these data have no label {name!r}", where=where, given=name,
                            allowed=list(offered) or "none", fix="set data.labels to those you want, [] for none")
    return {name: offered[name] for name in wanted}
