"""The loss on held-out images, at noise and times that never change."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext

import torch
from torch import Tensor

from zoo.data.loader import Batch, positions
from zoo.diffusion.gaussian import per_image
from zoo.diffusion.noise import Noise
from zoo.loggers.protocol import Record
from zoo.sampling.generate import evaluating
from zoo.train.ranks import Ranks
from zoo.train.state import State
from zoo.train.step import Draw, Labels, Objective, precise

GOLDEN = 0.6180339887498949


class Validation:
    """`validate(state, stop)`: losses of the raw and of the averaged weights.

    Image i always meets the same noise, a function of (seed, i), and the same time: the i-th point of the
    golden-ratio sequence, which covers [0, 1) evenly for any number of images. `val_constant` is what the
    best constant reaches, see `constant_loss`, and `val_ratio` the first average's part of it.

    Args:
        batches: starts a pass over the held-out images.
    """

    def __init__(self, objective: Objective, batches: Callable[[], Iterable], seed: int, ranks: Ranks):
        self.objective, self.batches, self.seed, self.ranks = objective, batches, seed, ranks
        self.constant: float | None = None

    @torch.no_grad()
    def __call__(self, state: State, stop: object = False) -> Record:
        """The losses; nothing if asked to stop meanwhile, or if there are no images."""
        names = ["val", "val_ema", *(f"val_ema_{ema.decay:g}" for ema in state.emas[1:])][: 1 + len(state.emas)]
        sums, images = torch.zeros(len(names), dtype=torch.float64), 0
        with evaluating(state.backbone):
            for batch in self.batches():
                if stop:
                    return {}
                part, weight = self._share(batch)
                draw = self.draw(part.images, part.first)
                losses = torch.stack([self._loss(part, draw, ema) for ema in (None, *state.emas)])
                sums += weight * losses.double().cpu()
                images += len(batch.images)
        if stop or not images:
            return {}
        if self.constant is None:
            self.constant = constant_loss(self.objective, self.batches, self.draw)
        sums = self.ranks.sum(sums)
        record = {name: value / images for name, value in zip(names, sums.tolist())}
        best = record.get("val_ema", record["val"])
        return {**record, "val_constant": self.constant, "val_ratio": best / self.constant}

    def draw(self, images: Tensor, first: int) -> Draw:
        """Noise and times of the images from number `first` on."""
        indices = range(first, first + len(images))
        u = torch.tensor([(i + 0.5) * GOLDEN % 1 for i in indices], dtype=precise(images.device))
        t = self.objective.time(u, self.objective.process).to(images.device)
        eps = Noise(self.seed, indices).start(images.shape[1:], images.device)
        return Draw(t, eps, torch.zeros(len(images), dtype=torch.bool, device=images.device))

    def _share(self, batch: Batch) -> tuple[Batch, float]:
        """This process's rows of a batch; where none are left, one of another's, with weight 0."""
        where = positions(0, len(batch.images), self.ranks.share)
        return (batch.rows(slice(where[0], where[-1] + 1)), 1.0) if len(where) else (batch.rows(slice(1)), 0.0)

    def _loss(self, batch, draw: Draw, ema) -> Tensor:
        with ema.applied() if ema else nullcontext():
            return self.objective(batch.images, batch.labels, draw).sum()


def constant_loss(objective: Objective, batches: Callable[[], Iterable], draw: Callable[[Tensor, int], Draw]) -> float:
    """Loss of the best predictor that never looks at its input: it knows the time and the class, no more.

    The target is a(t) x0 + b(t) eps, and eps averages to 0; so the best constant is a(t) times the mean
    image of the class, here over the other held-out images of that class. For networks that predict eps,
    a = 0: the constant is black and its loss E|eps|^2 = 1, up to the draw. A model whose loss is not well
    below this has learned nothing.
    """
    process, known = objective.process, getattr(objective.backbone, "labels", ())
    sums: dict[tuple, Tensor] = {}
    counts: dict[tuple, int] = {}
    for batch in batches():
        for x0, key in zip(batch.images, _classes(batch.labels, known, len(batch.images))):
            sums[key] = sums.get(key, 0) + x0
            counts[key] = counts.get(key, 0) + 1
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches():
        keys, chance = _classes(batch.labels, known, len(batch.images)), draw(batch.images, batch.first)
        means = torch.stack([(sums[k] - x0) / max(counts[k] - 1, 1) for x0, k in zip(batch.images, keys)])
        constant = per_image(process.target_factors(chance.t)[0], means) * means
        rest = process.outputs(means.shape[-3]) - means.shape[-3]
        output = torch.cat([constant, torch.zeros_like(means).narrow(-3, 0, rest)], -3) if rest else constant
        total += objective.loss(process, output, batch.images, chance.eps, chance.t).double().sum().cpu()
    return total.item() / sum(counts.values())


def _classes(labels: Labels, known: Iterable[str], images: int) -> list[tuple]:
    """What the network is told about each image."""
    told = [labels[name].tolist() for name in known if name in labels]
    return list(zip(*told)) if told else [()] * images
