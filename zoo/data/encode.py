"""Images and clips -> latents on disk: in shards, by any number of processes, and from where it stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from zoo.autoencoders.moments import fingerprint
from zoo.data.latent_files import (
    FORMAT,
    INDEX,
    file_sha256,
    is_part_of,
    read_index,
    shard_name,
    things,
    write_index,
    write_shard,
)  # fmt: skip
from zoo.data.loader import stacked
from zoo.data.memory import read
from zoo.data.protocols import Split
from zoo.data.transform import to_float
from zoo.errors import DataError, RecipeError

Say = Callable[[str], None]
KINDS = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class Request:
    """What is to be encoded, and how it is stored."""

    out: Path
    splits: tuple[Split, ...] = ("train", "val")
    flips: bool = True  # store mirrored copies as well
    kind: Literal["float16", "float32"] = "float16"
    shard: int = 1024  # images or clips a file
    batch: int = 32  # of them at a time
    workers: int = 4  # threads that read them

    def __post_init__(self):
        for name in ("shard", "batch"):
            if getattr(self, name) < 1:
                raise DataError(f"{getattr(self, name)}", where=f"--{name}", allowed="1 or more")


class Encoder:
    """The images of some data sets, or their clips frame by frame, behind an autoencoder.

    Args:
        about: of the autoencoder, to recognise it: its section of the recipe.
        datasets: split -> images or clips of one size.
        shape: (c, h, w) of the latents of one image, (T, c, h, w) of a clip.

    Raises: RecipeError if there is no autoencoder, or these are latents already.
    """

    def __init__(self, autoencoder: Any, about: dict[str, Any], datasets: Mapping[Split, Any], shape: Sequence[int],
                 request: Request, device: torch.device):  # fmt: skip
        if not hasattr(autoencoder, "moments"):
            raise RecipeError("encoding needs an autoencoder with moments", where="autoencoder", fix="autoencoder=kl")
        if any(hasattr(dataset, "latent") for dataset in datasets.values()):
            raise RecipeError("these are latents already", where="data", fix="name images: data.use=folder data.path=")
        self.autoencoder, self.datasets, self.request, self.device = autoencoder, datasets, request, device
        *frames, c, h, w = shape
        classes = next(iter(datasets.values())).classes
        self.about = {
            "format": FORMAT, "autoencoder": about, "fingerprint": fingerprint(autoencoder, device),
            "scale": float(autoencoder.scale), "shift": float(autoencoder.shift),
            "size": [*frames, *(side * autoencoder.factor for side in (h, w))], "kind": request.kind,
            "shape": [2 if request.flips else 1, *frames, 2 * c, h, w],
            "classes": {name: list(titles) for name, titles in classes.items()},
        }  # fmt: skip
        plan = [self.about, self._names(), request.shard]
        self.plan = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]

    def jobs(self) -> list[tuple[Split, int, range]]:
        """(split, number, images) of every shard."""
        size = self.request.shard
        return [(split, n, range(first, min(first + size, len(data)))) for split, data in self.datasets.items()
                for n, first in enumerate(range(0, len(data), size))]  # fmt: skip

    def run(self, share: tuple[int, int] = (0, 1), stop: object = False, say: Say = print) -> bool:
        """Encode this process's shards; False if asked to stop before the last one."""
        self._admit()
        self.request.out.mkdir(parents=True, exist_ok=True)
        jobs = self.jobs()[share[0] :: share[1]]
        for done, (split, number, images) in enumerate(jobs, 1):
            path = self.request.out / shard_name(split, number)
            if is_part_of(path, self.plan):
                continue
            moments, labels, names = self._encode(self.datasets[split], images, stop)
            if moments is None:
                return False
            write_shard(path, moments, labels, names, self.plan)
            say(f"{path}: {len(images)} {things(self.about)}, shard {done} of {len(jobs)}")
        return True

    def finish(self) -> dict[str, Any]:
        """Write the index, once every shard is there. Raises: DataError if one is missing."""
        shards = []
        for split, number, images in self.jobs():
            path = self.request.out / shard_name(split, number)
            if not is_part_of(path, self.plan):
                raise DataError("a shard is missing", where=str(path), fix="run the same command again")
            shards.append({"file": path.name, "split": split, "rows": len(images), "sha256": file_sha256(path)})
        index = {**self.about, "plan": self.plan, "images": sum(s["rows"] for s in shards), "shards": shards}
        write_index(self.request.out, index)
        return index

    def _encode(self, dataset, images: range, stop: object) -> tuple[Tensor | None, dict[str, np.ndarray], list[str]]:
        """Moments (N,F,[T,]2c,h,w), labels and names; None if asked to stop."""
        moments, labels, names = [], [], []
        for first in range(images.start, images.stop, self.request.batch):
            if stop:
                return None, {}, []
            rows = np.arange(first, min(first + self.request.batch, images.stop))
            samples = read(dataset, rows, self.request.workers)
            pixels, numbers = stacked(samples)
            moments.append(self._moments(to_float(torch.from_numpy(pixels).to(self.device))))
            labels.append(numbers)
            names += [sample.name for sample in samples]
        return torch.cat(moments), {key: np.concatenate([part[key] for part in labels]) for key in labels[0]}, names

    @torch.no_grad()
    def _moments(self, images: Tensor) -> Tensor:
        """Of the images, and of their mirror images: (B,F,[T,]2c,h,w) on the host. Raises: RecipeError, DataError."""
        copies = [images, images.flip(-1)] if self.request.flips else [images]
        found = torch.stack([self.autoencoder.moments(copy) for copy in copies], 1)
        if list(found.shape[1:]) != self.about["shape"]:
            raise RecipeError(f"the autoencoder gives moments {list(found.shape[2:])}, the recipe's shape asks for "
                              f"{self.about['shape'][1:]}", where="shape")
        if not torch.isfinite(found).all():
            raise DataError("the autoencoder gave moments that are not finite", where="autoencoder")
        return found.to(KINDS[self.request.kind]).cpu()

    def _admit(self) -> None:
        """Refuse a folder with latents of another plan."""
        out, others = self.request.out, []
        if (out / INDEX).exists() and (was := read_index(out)).get("plan") != self.plan:
            others = [k for k in ("autoencoder", "fingerprint", "size", "shape", "kind", "classes")
                      if was.get(k) != self.about[k]] or ["the images"]
        elif foreign := [p.name for p in out.glob("*.safetensors") if not is_part_of(p, self.plan)]:
            others = [f"for instance {sorted(foreign)[0]}"]
        if others:
            raise DataError(f"this folder holds other latents ({', '.join(others)})", where=str(out),
                            fix="give another --out, or delete it")

    def _names(self) -> list[str]:
        """A digest a split: which images there are, in order."""
        digests = []
        for split, dataset in self.datasets.items():
            total = hashlib.sha256(split.encode())
            for name in getattr(dataset, "names", range(len(dataset))):
                total.update(f"{name}\n".encode("utf-8", "surrogateescape"))
            digests.append(total.hexdigest())
        return digests
