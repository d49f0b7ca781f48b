"""The images of a run: training batches from any point of the clock on, held-out ones in order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from zoo.autoencoders.frames import by_frame
from zoo.builder import section
from zoo.data.loader import Batch, batches, val_batches
from zoo.errors import RecipeError
from zoo.recipe import Recipe
from zoo.train.settings import Train


class Feed:
    """Batches as the backbone sees them: behind the autoencoder, if the recipe has one.

    Raises: RecipeError if the recipe names no data; DataError if they are missing.
    """

    def __init__(self, recipe: Recipe, settings: Train, device: torch.device):
        if recipe.get("data", None) is None:
            raise RecipeError("this recipe names no data to train on", where=recipe.name,
                              fix="add for instance data.use=emoji, or data={use: folder, path: pictures}")
        self.settings, self.device, self.shape = settings, device, tuple(recipe["shape"])
        self.autoencoder = section(recipe, "autoencoder")()
        if isinstance(self.autoencoder, nn.Module):
            self.autoencoder.to(device).eval()
        *frames, _, height, width = self.shape
        size = (*frames, height * self.autoencoder.factor, width * self.autoencoder.factor)
        self.datasets = tuple(section(recipe, "data")(size, split) for split in ("train", "val"))

    def batches(self, start: int) -> Iterator[Batch]:
        """Training batches for ever, from image number `start` on."""
        settings = self.settings
        for batch in batches(self.datasets[0], seed=settings.seed, batch=settings.batch, start=start,
                             workers=settings.workers, flip=settings.flip, device=self.device):  # fmt: skip
            yield self._encoded(batch)

    def held_out(self, batch: int) -> Iterator[Batch]:
        """One pass over the first `val_images` held-out images."""
        for part in val_batches(self.datasets[1], batch=batch, count=self.settings.val_images,
                                workers=self.settings.workers, device=self.device):
            yield self._encoded(part)

    @torch.no_grad()
    def _encoded(self, batch: Batch) -> Batch:
        if tuple(batch.images.shape[1:]) == self.shape:
            return batch
        return batch._replace(images=by_frame(self.autoencoder.encode, batch.images))
