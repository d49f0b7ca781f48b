"""Latents in the published layout of U-ViT and DiT: a file `<i>.npy` an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from zoo.data.npy import read_npy
from zoo.data.pictures import held_out
from zoo.data.protocols import Latent, Sample, Split
from zoo.errors import DataError
from zoo.registry import register


@register("dataset", "features")
class Features:
    """A folder with 0.npy, 1.npy, ...: moments (2c,h,w) or latents (c,h,w), each with its label or beside `labels/`.

    Mirrored copies, where somebody has stored them, are images like any other.

    Raises: DataError if there are none, or the first one has another size.
    """

    def __init__(
        self,
        size: tuple[int, int],
        split: Split,
        *,
        path: str,  # of the folder
        classes: int = 1000,  # 0: no labels
        label_path: str | None = None,  # folder with the label of each image as <i>.npy, where it is not inside
        scale: float = 0.18215,  # of the latents, here that of latent diffusion; 1 if they are stored scaled
        holdout: float = 0.0,  # share that is held out
    ):
        self.folder = Path(path).expanduser()
        self.label_folder = Path(label_path).expanduser() if label_path else None
        numbers = [int(p.stem) for p in self.folder.glob("*.npy") if p.stem.isdigit()] if self.folder.is_dir() else []
        self.numbers = np.array(sorted(i for i in numbers if held_out(str(i), holdout) == (split == "val")))
        if not numbers:
            raise DataError("there are no files 0.npy, 1.npy, ...", where=path, fix="set data.path")
        self.classes = {"label": [str(i) for i in range(classes)]} if classes else {}
        self.latent = Latent({}, "", scale, 0.0)
        found = read_npy(self.folder / f"{numbers[0]}.npy")[0].shape[-2:]
        scaled = len(size) == 2 and all(s % f == 0 and s // f == size[0] // found[0] for s, f in zip(size, found))
        if not (found == tuple(size) or scaled):
            wanted = "x".join(map(str, size))
            raise DataError(f"these latents are {found[0]}x{found[1]}, which fit no image of {wanted}",
                            where=path, fix="set shape in the recipe")

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Sample:
        """Latents `index`. Raises: DataError with the name of an unreadable file."""
        path = self.folder / f"{self.numbers[index]}.npy"
        values, label = read_npy(path)
        if not self.classes:
            return Sample(values, {}, path.name)
        if self.label_folder:
            label = int(read_npy(self.label_folder / path.name)[0].reshape(-1)[0])
        if label is None or not 0 <= label < len(self.classes["label"]):
            raise DataError(f"its label is {label}", where=str(path), allowed=f"0..{len(self.classes['label']) - 1}",
                            fix="set data.label_path, or data.classes=0 for none")
        return Sample(values, {"label": label}, path.name)
