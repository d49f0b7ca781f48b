"""Where the images of an evaluation come from: a model, a folder or zip, an npz, or the split of a data set.

`read(numbers)` gives uint8 (B,H,W,C), of clips (B,T,H,W,C). `identity` determines every pixel: it is what a cache goes
by. `said` is what the protocol of a result says about them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from zoo import __version__
from zoo.builder import section
from zoo.data.decode import decode
from zoo.data.memory import read, spread
from zoo.data.protocols import Dataset
from zoo.data.source.folder import open_images
from zoo.errors import DataError, ShapeError
from zoo.recipe import Recipe
from zoo.sampling.generate import OnStep, Plan
from zoo.sampling.size import Size

ROUNDING = "to uint8, half to even, clipped"
FITTED = "middle, halved by box, then bicubic"
PROBES = 64
"""Images of a data set that are looked at to see whether it is still the same."""


class Images(Protocol):
    """A numbered set of images, or of clips, of one size; `frames` of a clip, 0 for images."""

    frames: int

    identity: dict[str, Any]
    said: dict[str, Any]
    size: Size

    def __len__(self) -> int: ...
    def read(self, numbers: Sequence[int], on_step: OnStep | None = None) -> np.ndarray: ...


class Generated:
    """Images that a model draws when they are asked for: image i depends on (seed, i) alone.

    Args:
        identity: what determines the weights.
        said: what the protocol says about model and sampling.
    """

    def __init__(self, plan: Plan, count: int, precision: str, identity: dict[str, Any], said: dict[str, Any]):
        self.plan, self.count, self.size = replace(plan, precision=precision), count, plan.size
        self.frames = plan.frames
        self.said = {"kind": "generated", "size": size_said(plan.size, plan.frames), "resize": "none",
                     "rounding": ROUNDING}  # fmt: skip
        self.identity = {**identity, "zoo": __version__, "seed": plan.seed, "size": plan.size, "precision": precision,
                         "device": plan.device.type}  # fmt: skip
        self.model = said

    def __len__(self) -> int:
        return self.count

    def read(self, numbers: Sequence[int], on_step: OnStep | None = None) -> np.ndarray:
        """Draw them, as one batch."""
        drawn = self.plan.draw(numbers, batch=len(numbers), on_step=on_step)
        return np.stack([image for _, image in drawn])


class Pictures:
    """Images of a folder, however nested, or of a zip, by name; as they are, or cut to `size`."""

    frames = 0

    def __init__(self, root: Path, size: Size | None = None, count: int | None = None):
        self.names, self.open = open_images(root)
        self.names = self.names[:count]
        self.fit = size
        self.size: Size = decode(self.open(self.names[0]), size).shape[:2]  # type: ignore[assignment]
        self.said = {"kind": "pictures", "source": str(root), "size": "{}x{}".format(*self.size),
                     "resize": FITTED if size else "none", "rounding": "as stored"}  # fmt: skip
        self.identity = {"pictures": self._digest(), "fit": size}

    def __len__(self) -> int:
        return len(self.names)

    def read(self, numbers: Sequence[int], on_step: OnStep | None = None) -> np.ndarray:
        """Raises: DataError for an unreadable picture, ShapeError for one of another size."""
        return np.stack([self._picture(self.names[i]) for i in numbers])

    def _picture(self, name: str) -> np.ndarray:
        try:
            image = decode(self.open(name), self.fit)
        except (DataError, OSError) as error:
            raise DataError(str(error), where=name) from error
        if image.shape[:2] != tuple(self.size):
            raise ShapeError("{}x{} pixels, the first picture has {}x{}".format(*image.shape[:2], *self.size),
                             where=name, fix="give a size, to which all are cut")  # fmt: skip
        return image

    def _digest(self) -> str:
        total = hashlib.sha256()
        for name in self.names:
            content = self.open(name)
            data = content.read_bytes() if isinstance(content, Path) else content
            total.update(json.dumps([name, len(data)]).encode() + data)
        return total.hexdigest()


class Arrays:
    """The images `arr_0` (N,H,W,C) uint8 of an npz, as samples and ADM's reference batches are published.

    Clips are (N,T,H,W,C).
    """

    def __init__(self, path: Path, count: int | None = None):
        self.pixels = load_array(path)[:count]
        self.size: Size = self.pixels.shape[-3:-1]  # type: ignore[assignment]
        self.frames = self.pixels.shape[1] if self.pixels.ndim == 5 else 0
        self.said = {"kind": "npz", "source": str(path), "size": size_said(self.size, self.frames), "resize": "none",
                     "rounding": "as stored"}  # fmt: skip
        self.identity = {"npz": file_digest(path)}

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, numbers: Sequence[int], on_step: OnStep | None = None) -> np.ndarray:
        """Look them up."""
        return self.pixels[np.asarray(numbers)]


class Split:
    """The images or clips of one split of a recipe's data set, cut to `size` as training sees them, not mirrored."""

    def __init__(self, recipe: Recipe, split: str, size: Size, count: int | None = None):
        self.frames = recipe["shape"][0] if len(recipe["shape"]) > 3 else 0
        self.dataset: Dataset = section(recipe, "data")((self.frames, *size) if self.frames else size, split)
        if not len(self.dataset):
            raise DataError(f"there are no images in the split {split!r}", where=f"data of {recipe.name}")
        if hasattr(self.dataset, "latent"):
            raise DataError("these are latents, there are no pictures to compare with", where=f"data of {recipe.name}",
                            fix="name as the reference what they were made from: pictures, an npz or a recipe")
        self.size = size
        self.numbers = spread(len(self.dataset) if count is None else min(count, len(self.dataset)), len(self.dataset))
        self.said = {"kind": "data set", "source": recipe["data"]["use"], "split": split,
                     "size": size_said(size, self.frames), "resize": FITTED, "rounding": "as stored"}  # fmt: skip
        probes = read(self.dataset, spread(min(PROBES, len(self.dataset)), len(self.dataset)), 1)
        total = hashlib.sha256(b"".join(probe.name.encode() + probe.image.tobytes() for probe in probes))
        self.identity = {"data": recipe["data"], "split": split, "size": size, "images": len(self.dataset),
                         "probes": total.hexdigest(), "zoo": __version__}  # fmt: skip

    def __len__(self) -> int:
        return len(self.numbers)

    def read(self, numbers: Sequence[int], on_step: OnStep | None = None) -> np.ndarray:
        """Raises: DataError for an unreadable image."""
        return np.stack([sample.image for sample in read(self.dataset, self.numbers[np.asarray(numbers)], 4)])


def open_pictures(path: Path, size: Size | None = None, count: int | None = None) -> Images:
    """A folder, a zip or an npz of images."""
    return Arrays(path, count) if path.suffix == ".npz" else Pictures(path, size, count)


def size_said(size: Size, frames: int) -> str:
    """Height x width, behind the frames of clips."""
    return "x".join(map(str, (frames, *size) if frames else size))


def load_array(path: Path) -> np.ndarray:
    """`arr_0` of an npz. Raises: DataError unless it holds images or clips."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pixels = file["arr_0"]
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise DataError(f"holds no images: {error}", where=str(path), fix="arr_0 should be (N,H,W,3) uint8") from error
    if pixels.dtype != np.uint8 or pixels.ndim not in (4, 5) or pixels.shape[-1] not in (1, 3) or not len(pixels):
        raise DataError(f"arr_0 is {pixels.dtype} {pixels.shape}", where=str(path), allowed="uint8 (N,[T,]H,W,3)")
    return pixels


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return total.hexdigest()
