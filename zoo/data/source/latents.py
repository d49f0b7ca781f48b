"""Latents that `zoo-data encode` wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zoo.data.latent_files import INDEX, Shards, read_index, things
from zoo.data.pictures import chosen
from zoo.data.protocols import Latent, Sample, Split
from zoo.errors import DataError
from zoo.registry import register


@register("dataset", "latents")
class Latents:
    """Moments of an autoencoder, mapped into memory; training draws from them anew every time.

    float16 or float32 (2c,h,w), of clips (T,2c,h,w); the recipe's size in pixels, or in latents where no autoencoder
    is named.

    Raises: DataError if they are missing, of another size, or have no held-out part.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        split: Split,
        *,
        path: str,  # of the folder with index.json
        labels: list[str] = ["label"],  # what the model is told; [] for nothing
    ):
        self.folder = Path(path).expanduser()
        index = read_index(self.folder)
        frames = index["size"][:-2]
        if list(size) not in (index["size"], [*frames, *index["shape"][-2:]]):
            what = things(index)
            raise DataError(f"these latents are of {what} of {_by(index['size'])}, the recipe wants {_by(size)}",
                            where=path, fix=f"set shape in the recipe, or encode the {what} again")
        self.shards = Shards(self.folder, index, split)
        self.classes = chosen(labels, index["classes"], "data.labels") if index["classes"] else {}
        self.labels = {name: self.shards.labels(name) for name in self.classes}
        self.copies = index["shape"][0]
        self.latent = Latent(index["autoencoder"], index["fingerprint"], index["scale"], index["shift"])
        if split == "train" and not len(self):
            raise DataError("there are no latents to train on", where=path)

    @staticmethod
    def known_classes(fields: Mapping[str, object]) -> dict[str, list[str]]:
        """The classes under these fields, from the index if it is there."""
        folder = Path(str(fields.get("path"))).expanduser()
        if not (folder / INDEX).is_file():
            return {}
        classes = read_index(folder)["classes"]
        return chosen(fields.get("labels", ["label"]), classes, "data.labels") if classes else {}  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, index: int) -> Sample:
        """Row `index`; from len(self) on, the mirrored copies."""
        copy, row = divmod(index, len(self))
        if not 0 <= copy < self.copies:
            raise IndexError(f"index {index} of {len(self)} latents")
        arrays, place = self.shards.at(row)
        labels = {name: int(values[row]) for name, values in self.labels.items()}
        return Sample(arrays["moments"][place, copy], labels, f"{self.folder}:{row}")

    def mirrored(self, indices: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The indices, with those of mirrored copies where `which` is true. Raises: DataError if there are none."""
        if self.copies < 2:
            raise DataError("these latents have no mirrored copies", where=str(self.folder),
                            fix="set train.flip=false, or encode the images again with --flips")
        return indices + len(self) * which


def _by(size) -> str:
    return "x".join(map(str, size))
