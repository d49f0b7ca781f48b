"""What is kept of a set of images: moments, rows and a digest of the pixels; it grows, merges and lies in a file.

The file is the usual npz of statistics: `mu`, `sigma` of features, `mu_s`, `sigma_s` of a spatial map.
Ours also holds `count`, the rows, and `meta`, JSON that says what they are of.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.errors import DataError
from zoo.eval.moments import Gaussian, Moments
from zoo.weights.file import replacing

SUFFIX = {"features": "", "spatial": "_s"}


class Needs(NamedTuple):
    """The streams of which moments, and of which all rows are kept."""

    moments: frozenset[str] = frozenset()
    rows: frozenset[str] = frozenset()

    @property
    def streams(self) -> frozenset[str]:
        """All of them."""
        return self.moments | self.rows

    def covers(self, other: Needs) -> bool:
        """Whether nothing is missing for `other`."""
        return self.moments >= other.moments and self.rows >= other.rows

    def __or__(self, other: Needs) -> Needs:  # type: ignore[override]
        return Needs(self.moments | other.moments, self.rows | other.rows)


class Tally:
    """Statistics of numbered images or clips. `given` are moments from elsewhere, of which no count is known."""

    def __init__(self, needs: Needs, meta: Mapping[str, Any] | None = None):
        self.needs, self.meta = needs, dict(meta or {})
        self.moments: dict[str, Moments] = {}
        self.given: dict[str, Gaussian] = {}
        self.blocks: dict[str, list[np.ndarray]] = {stream: [] for stream in needs.rows}
        self.numbers: list[int] = []
        self.digests: list[bytes] = []

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, numbers: Sequence[int], pixels: np.ndarray, streams: Mapping[str, np.ndarray]) -> None:
        """Take in images: pixels (B,[T,]H,W,C) uint8, streams (B,n)."""
        self.numbers += [int(n) for n in numbers]
        self.digests += [hashlib.sha256(str(image.shape).encode() + image.tobytes()).digest() for image in pixels]
        for stream in self.needs.moments:
            self._merge(stream, Moments.of(streams[stream]))
        for stream in self.needs.rows:
            self.blocks[stream].append(np.asarray(streams[stream], dtype=np.float32))

    def _merge(self, stream: str, moments: Moments) -> None:
        self.moments[stream] = self.moments[stream].merge(moments) if stream in self.moments else moments

    def merge(self, others: Iterable[Tally]) -> Tally:
        """The statistics of all these images together."""
        for other in others:
            for stream, moments in other.moments.items():
                self._merge(stream, moments)
            for stream in self.blocks:
                self.blocks[stream] += other.blocks[stream]
            self.numbers += other.numbers
            self.digests += other.digests
        return self

    def gaussian(self, stream: str) -> Gaussian:
        """Mean and covariance of a stream."""
        return self.given[stream] if stream in self.given else self.moments[stream].gaussian

    def rows(self, stream: str) -> np.ndarray:
        """Every image's row (N,n), float64, by the number of the image."""
        return np.concatenate(self.blocks[stream])[np.argsort(self.numbers)].astype(np.float64)

    @property
    def width(self) -> int:
        """How many features an image has; 0 if none were kept."""
        stream = next((s for s in ("features", "frames") if s in {*self.given, *self.moments}), None)
        return len(self.gaussian(stream).mean) if stream else 0

    @property
    def pixels(self) -> str:
        """SHA-256 over all images by number: the identity of what was looked at; empty if they were never seen."""
        ordered = b"".join(self.digests[i] for i in np.argsort(self.numbers))
        return hashlib.sha256(ordered).hexdigest() if ordered else ""

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        arrays: dict[str, np.ndarray] = {
            "numbers": np.array(self.numbers, dtype=np.int64),
            "digests": np.frombuffer(b"".join(self.digests), dtype=np.uint8).reshape(-1, 32),
            "meta": np.array(json.dumps({**self.meta, "needs": [sorted(part) for part in self.needs]})),
        }
        for stream, moments in self.moments.items():
            arrays |= {f"count{_suffix(stream)}": np.array(moments.count)}
        for stream in {**self.moments, **self.given}:
            gaussian = self.gaussian(stream)
            arrays |= {f"mu{_suffix(stream)}": gaussian.mean, f"sigma{_suffix(stream)}": gaussian.cov}
        for stream, blocks in self.blocks.items():
            arrays[f"rows_{stream}"] = np.concatenate(blocks) if blocks else np.zeros((0, 0), np.float32)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> Tally:
        """Read a file of ours, or published statistics.

        Raises: DataError if it is missing, damaged, or holds no statistics.
        """
        arrays = read_npz(path)
        meta = json.loads(str(arrays["meta"])) if "meta" in arrays else {}
        needs = Needs(*map(frozenset, meta.pop("needs", ((), ()))))
        tally = cls(needs, meta)
        for stream in {**dict.fromkeys((*SUFFIX, "logits")), **dict.fromkeys(sorted(needs.moments))}:
            tally._read(stream, _suffix(stream), arrays)
        tally.needs = Needs(frozenset({**tally.moments, **tally.given}), needs.rows)
        tally.numbers = arrays["numbers"].tolist() if "numbers" in arrays else []
        tally.digests = [row.tobytes() for row in arrays["digests"]] if "digests" in arrays else []
        return tally

    def _read(self, stream: str, suffix: str, arrays: Mapping[str, np.ndarray]) -> None:
        if f"mu{suffix}" in arrays and f"sigma{suffix}" in arrays:
            mean, cov = (np.asarray(arrays[f"{name}{suffix}"], dtype=np.float64) for name in ("mu", "sigma"))
            if f"count{suffix}" in arrays:
                count = int(arrays[f"count{suffix}"])
                self.moments[stream] = Moments(count, mean, cov * max(count - 1, 1))
            else:
                self.given[stream] = Gaussian(mean, cov)
        if stream in self.needs.rows:
            self.blocks[stream] = [arrays[f"rows_{stream}"]] if len(arrays[f"rows_{stream}"]) else []


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz; pickled objects are refused. Raises: DataError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name != "arr_0"}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"not a readable npz: {error}", where=str(path)) from error


def _suffix(stream: str) -> str:
    return SUFFIX.get(stream, f"_{stream}")
