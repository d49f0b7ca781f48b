"""Where samples go: a folder of pictures or videos, or one npz file. Several processes may write to either at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from zoo.sampling.folder import Folder
from zoo.sampling.form import Form
from zoo.sampling.npz import Npz
from zoo.sampling.size import Size

Numbered = Sequence[tuple[int, np.ndarray]]


class Target(Protocol):
    """Image i is there, whole, or it is not: nothing else has to be known to go on after an interruption."""

    def check(self, wanted: dict[str, Any]) -> None:
        """Raises: ZooError if other samples are there."""
        ...

    def open(self, wanted: dict[str, Any]) -> None:
        """Write the record, before the first image."""
        ...

    def missing(self, images: int, size: Size) -> list[int]:
        """The numbers below `images` that are not there yet in this size."""
        ...

    def count(self, images: int) -> int:
        """About how many of the first images are there; quick."""
        ...

    def save(self, block: Numbered) -> None:
        """Add consecutive images (H,W,C) or videos (T,H,W,C) uint8, each whole or not at all."""
        ...

    def finish(self, images: int, labels: Mapping[str, Tensor]) -> None:
        """Called when all are there, by one process or by several at once."""
        ...

    def read(self, numbers: Sequence[int]) -> list[np.ndarray]:
        """Some finished images."""
        ...

    def picture(self, name: str) -> Path:
        """The file for a picture of many samples, called for instance "grid"."""
        ...


def target(out: Path, form: Form) -> Target:
    """The npz file or folder that `out` names, for samples of this form."""
    return Npz(out, form) if out.suffix == ".npz" else Folder(out, form)
