"""What a set of images or clips is made of, and which of its files cannot be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.data.clips import Clips
from zoo.data.decode import decode
from zoo.errors import DataError

SHOWN = 10


@dataclass
class Findings:
    """Counts of one split: sizes (height, width), classes by label, and the files that cannot be read."""

    count: int = 0
    things: str = "images"  # or clips
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    classes: dict[str, Counter[str]] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def lines(self, wanted: tuple[int, ...] | None = None) -> Iterator[str]:
        """The findings in words.

        Args:
            wanted: (height, width) that a recipe asks for; smaller images would be enlarged.
        """
        yield f"{self.count:,} {self.things}, {len(self.bad):,} of them cannot be read"
        if self.sizes:
            heights, widths = zip(*self.sizes)
            most, often = self.sizes.most_common(1)[0]
            extent = f"{min(heights)}x{min(widths)} to {max(heights)}x{max(widths)}"
            yield f"{len(self.sizes):,} sizes from {extent}; {_by(most)} is the most frequent, {often:,} times"
        small = sum(n for size, n in self.sizes.items() if wanted and (size[0] < wanted[0] or size[1] < wanted[1]))
        if wanted and small:
            yield f"{small:,} are smaller than {_by(wanted)} and would be enlarged"
        for label, counts in self.classes.items():
            (first, most), (last, least) = counts.most_common()[0], counts.most_common()[-1]
            yield (f"{len(counts):,} classes of {label}: {most:,} {self.things} of {first!r}, the most, "
                   f"to {least:,} of {last!r}")  # fmt: skip
            if empty := [name for name, n in counts.items() if not n]:
                yield f"without {self.things}: {', '.join(empty[:SHOWN])}{' ...' if len(empty) > SHOWN else ''}"
        yield from (f"bad: {line}" for line in self.bad[:SHOWN])
        if len(self.bad) > SHOWN:
            yield f"bad: and {len(self.bad) - SHOWN:,} more"


def check_pictures(pictures: Any, threads: int = 4) -> Findings:
    """Read every image or clip of a set once.

    Args:
        pictures: a `zoo.data.pictures.Pictures`.
    """
    found = Findings(len(pictures), "clips" if isinstance(pictures, Clips) else "images")
    for label, names in pictures.classes.items():
        counts = np.bincount(pictures.labels[label], minlength=len(names))
        found.classes[label] = Counter(dict(zip(names, counts.tolist())))
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        for index, result in enumerate(pool.map(lambda i: _size(pictures, i), range(len(pictures)))):
            if isinstance(result, str):
                found.bad.append(f"{pictures.names[index]}: {result}")
            else:
                found.sizes[result] += 1
    return found


def _size(pictures: Any, index: int) -> tuple[int, int] | str:
    try:
        found = pictures.read(index)
        frames = found if isinstance(pictures, Clips) else [found]
        heights, widths, _ = zip(*(decode(frame).shape for frame in frames))
    except (DataError, OSError) as error:
        return str(error)
    return min(heights), min(widths)


def _by(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
