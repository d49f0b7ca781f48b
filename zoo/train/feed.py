"""The images of a run: training batches from any point of the clock on, held-out ones in order."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from zoo.builder import section
from zoo.data.loader import Batch, batches, val_batches
from zoo.errors import RecipeError
from zoo.recipe import Recipe
from zoo.train.ranks import Ranks
from zoo.train.settings import Train


class Feed:
    """Batches as the backbone sees them: behind the autoencoder, if the recipe has one.

    Raises: RecipeError if the recipe names no data; DataError if they are missing.
    """

    def __init__(self, recipe: Recipe, settings: Train, ranks: Ranks):
        if recipe.get("data", None) is None:
            raise RecipeError("this recipe names no data to train on", where=recipe.name,
                              fix="add for instance data.use=emoji, or data={use: folder, path: pictures}")
        self.settings, self.ranks, self.device = settings, ranks, ranks.device
        self.shape, self.autoencoder = tuple(recipe["shape"]), section(recipe, "autoencoder")()
        size = tuple(side * self.autoencoder.factor for side in self.shape[-2:])
        self.datasets = tuple(section(recipe, "data")(size, split) for split in ("train", "val"))

    def batches(self, start: int) -> Iterator[Batch]:
        """This process's share of training batches, for ever, from image number `start` on."""
        settings = self.settings
        for batch in batches(self.datasets[0], seed=settings.seed, batch=settings.batch, start=start,
                             workers=settings.workers, flip=settings.flip, device=self.device,
                             share=self.ranks.share):  # fmt: skip
            yield self._encoded(batch)

    def held_out(self, batch: int) -> Iterator[Batch]:
        """One pass over `val_images` held-out images, the same in every process."""
        for part in val_batches(self.datasets[1], batch=batch, count=self.settings.val_images,
                                workers=self.settings.workers, device=self.device):
            yield self._encoded(part)

    @torch.no_grad()
    def _encoded(self, batch: Batch) -> Batch:
        if tuple(batch.images.shape[1:]) == self.shape:
            return batch
        return batch._replace(images=self.autoencoder.encode(batch.images))
