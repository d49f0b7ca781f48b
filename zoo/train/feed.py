"""The images of a run: training batches from any point of the clock on, held-out ones in order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from zoo.autoencoders.moments import posterior_sample
from zoo.builder import section
from zoo.data.loader import Batch, batches, val_batches
from zoo.data.protocols import Dataset, Latent
from zoo.errors import DataError
from zoo.recipe import Recipe
from zoo.train.ranks import Ranks
from zoo.train.settings import Train
from zoo.train.step import generator

LATENTS = 1
"""The stream of chance that draws latents; the objective's is 0."""


PICTURES = "add for instance data.use=emoji, or data={use: folder, path: pictures}"
ENCODED = "add data={use: latents, path: DIR}, which `zoo-data encode` makes, or data={use: folder, path: pictures}"


class Feed:
    """Batches as the backbone sees them: behind the autoencoder, if the recipe has one.

    Raises: DataError if the recipe names no data, or they are missing.
    """

    def __init__(self, recipe: Recipe, settings: Train, ranks: Ranks):
        if recipe.get("data", None) is None:
            raise DataError("this recipe names no data to train on", where=recipe.name,
                            fix=ENCODED if recipe.get("autoencoder.use") != "identity" else PICTURES)
        self.settings, self.ranks, self.device = settings, ranks, ranks.device
        self.shape, self.autoencoder = tuple(recipe["shape"]), section(recipe, "autoencoder")()
        *frames, _, height, width = self.shape
        size = (*frames, height * self.autoencoder.factor, width * self.autoencoder.factor)
        self.datasets = tuple(section(recipe, "data")(size, split) for split in ("train", "val"))
        if not len(self.datasets[0]):
            raise DataError("there are no images to train on", where="data", fix="look at its path, split and filters")
        self.latent: Latent | None = getattr(self.datasets[0], "latent", None)
        check_identity(recipe, self.latent)

    @property
    def classes(self) -> dict[str, list[str]]:
        """Label -> names of its classes, where these are more than their numbers."""
        found = {label: [*map(str, names)] for label, names in self.datasets[0].classes.items()}
        return {label: names for label, names in found.items() if names != [str(i) for i in range(len(names))]}

    def batches(self, start: int) -> Iterator[Batch]:
        """This process's share of training batches, for ever, from image number `start` on."""
        settings = self.settings
        for batch in batches(self.datasets[0], seed=settings.seed, batch=settings.batch, start=start,
                             workers=settings.workers, flip=settings.flip, device=self.device,
                             share=self.ranks.share):  # fmt: skip
            yield self._encoded(batch, noisy=True)

    def held_out(self, batch: int) -> Iterator[Batch]:
        """One pass over `val_images` held-out images, the same in every process."""
        for part in val_batches(self.datasets[1], batch=batch, count=self.settings.val_images,
                                workers=self.settings.workers, device=self.device):
            yield self._encoded(part)

    @torch.no_grad()
    def _encoded(self, batch: Batch, noisy: bool = False) -> Batch:
        """Latents (B,[T,]c,h,w) of images or clips; of moments, drawn anew for training, or their mean."""
        if (latent := self.latent) is None:
            if tuple(batch.images.shape[1:]) == self.shape:
                return batch
            return batch._replace(images=self.autoencoder.encode(batch.images))
        if batch.images.shape[-3] == self.shape[-3]:
            return batch._replace(images=(batch.images - latent.shift) * latent.scale)
        noise = self._noise(batch) if noisy else None
        return batch._replace(images=posterior_sample(batch.images, noise, latent.scale, latent.shift))

    def _noise(self, batch: Batch) -> Tensor:
        """Of a share of a batch: everybody draws for all images of the batch, as the objective does."""
        before = batch.first % self.settings.batch
        chance = generator(self.settings.seed, batch.first - before, self.device, stream=LATENTS)
        whole = torch.randn((self.settings.batch, *self.shape), generator=chance, device=self.device)
        return whole[before : before + len(batch.images)]


def check_classes(backbone: nn.Module, dataset: Dataset) -> None:
    """Whether the backbone has a row for every class of the images; a class too many would be read as the null class.

    Raises: DataError naming label and numbers.
    """
    for name, module in backbone.named_modules():
        known, names = getattr(module, "classes", None), dataset.classes.get(getattr(module, "reads", ""))
        if isinstance(known, int) and names and len(names) > known:
            raise DataError(f"the images have {len(names)} classes of {module.reads}, the backbone knows {known}",
                            where="data.labels", fix=f"set backbone.{name}.classes={len(names)}, or data.labels=[]")


def check_identity(recipe: Recipe, latent: Latent | None) -> None:
    """Whether latents were made by the autoencoder that will decode samples.

    Raises: DataError naming both.
    """
    named = {} if latent is None else dict(latent.autoencoder)
    wanted = recipe["autoencoder"]
    if not named or wanted["use"] == "identity":
        return
    differs = [k for k in ("use", "path", "subfolder", "scale") if k in named and named[k] != wanted.get(k)]
    if differs:
        listed = "; ".join(f"{key} {named[key]!r}, the recipe has {wanted.get(key)!r}" for key in differs)
        raise DataError(f"these latents were made by another autoencoder: {listed}", where="data",
                        fix="name it in the recipe's autoencoder section, or encode the images again")
