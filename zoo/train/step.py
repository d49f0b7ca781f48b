"""One update of the weights: draws, loss, gradients, clipping, optimizer, averages."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zoo.builder import build_process, section
from zoo.data.loader import Batch
from zoo.diffusion.denoiser import Denoiser
from zoo.errors import ZooError
from zoo.ops.precision import autocast
from zoo.recipe import Recipe
from zoo.train.graphed import Graphed
from zoo.train.guard import Guard
from zoo.train.parallel import quiet
from zoo.train.schedule import factor
from zoo.train.settings import Train
from zoo.train.shards import everywhere, local, total_norm
from zoo.train.state import State

MASK = 2**64 - 1
REHEARSALS = 2
"""Updates of several processes that are tried alone first: the second one meets the optimizer's memory."""
Labels = dict[str, Tensor]


class Draw(NamedTuple):
    """What chance decides about a batch: t (B,) in [0, 1], eps like the images, drop (B,) bool."""

    t: Tensor
    eps: Tensor
    drop: Tensor

    def split(self, size: int) -> list[Draw]:
        """In parts of at most `size` images."""
        return [Draw(*part) for part in zip(*(value.split(size) for value in self))]

    def rows(self, rows: slice) -> Draw:
        """For some of the images."""
        return Draw(*(value[rows] for value in self))


def generator(seed: int, images: int, device: torch.device, stream: int = 0) -> torch.Generator:
    """The random numbers of the update that begins after `images` images (splitmix64 of all these numbers)."""
    z = (seed * 0x9E3779B97F4A7C15 + images + 0x632BE59BD9B4E019 + stream * 0xD1342543DE82EF95) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return torch.Generator(device).manual_seed(z ^ (z >> 31))


def precise(device: torch.device) -> torch.dtype:
    """The widest floating type of a device, for times."""
    return torch.float32 if device.type == "mps" else torch.float64


class Objective:
    """The loss of a backbone, as a recipe defines it, at given images, noise and times."""

    def __init__(self, recipe: Recipe, backbone: nn.Module, precision: str):
        self.backbone, self.precision = backbone, precision
        self.network: Callable[..., Any] = backbone
        self.process, self.loss, self.time = build_process(recipe), section(recipe, "loss")(), section(recipe, "time")()
        self.loss.check(self.process)

    def through(self, network: Callable[..., Any]) -> Objective:
        """The same with the backbone called through what wraps it, for instance DDP."""
        other = copy(self)
        other.network = network
        return other

    def draw(self, images: Tensor, seed: int, first: int, label_dropout: float, *, batch: int | None = None,
             before: int = 0) -> Draw:  # fmt: skip
        """The draws for the batch that begins at image number `first`, made on the device of `images`.

        Args:
            batch: images of the whole batch, where `images` are one process's share; everybody draws for all, so
                that numbers do not depend on who computes what.
            before: images of the batch in front of this share.
        """
        batch, device = batch or len(images), images.device
        chance = generator(seed, first, device)
        u, dropped = torch.rand(2, batch, generator=chance, device=device, dtype=precise(device))
        eps = torch.randn((batch, *images.shape[1:]), generator=chance, device=device)
        drawn = Draw(self.time(u, self.process), eps, dropped < label_dropout)
        return drawn if batch == len(images) else drawn.rows(slice(before, before + len(images)))

    def __call__(self, x0: Tensor, labels: Labels, draw: Draw, *, dropping: bool = False) -> Tensor:
        """Loss of each image, (B,) float32."""
        y = self.backbone.drop(labels, draw.drop) if dropping else labels
        x_t = self.process.perturb(x0, draw.t, draw.eps)
        with autocast(x0.device, self.precision):
            output = Denoiser(self.network, self.process, y or None).output(x_t, draw.t, y or None)
        return self.loss(self.process, output.float(), x0, draw.eps, draw.t)


class Update:
    """`update(state, batch)`: this process's share of a batch, in micro-batches, and one step of the optimizer.

    The loss is the mean over the whole batch, the gradient its gradient, whoever computed what.

    Args:
        say: is told what turns out in the first updates.
    """

    def __init__(self, objective: Objective, settings: Train, guard: Guard, say: Callable[[str], None] = print):
        self.objective, self.settings, self.guard, self.say = objective, settings, guard, say
        self.rehearsals = REHEARSALS
        self.graphed: Graphed | None = None

    def __call__(self, state: State, batch: Batch) -> None:
        """Nothing here waits for the device."""
        settings, optimizer = self.settings, state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor(settings.schedule, state.step, settings.warmup, settings.steps)
        loss = self.fitting(state, batch)
        norm = self.scaled_norm(state)
        skip = self.guard.judge(state, loss, norm)
        optimize(optimizer, skip)
        optimizer.zero_grad(set_to_none=True)
        state.averages_follow()
        state.meter.add(loss, norm, skip)
        state.step += 1

    def fitting(self, state: State, batch: Batch) -> Tensor:
        """`gradients`, with the micro-batch halved until memory is enough; the result is the same.

        A process that runs out of memory while gradients travel would leave the others waiting; so several
        processes try the first updates alone, and agree on what fits. The parts of FSDP travel all the time.

        Raises: ZooError if the recipe sets the micro-batch, or not even one image fits.
        """
        if state.ranks.size == 1:
            return self._halving(state, lambda: self.gradients(state, batch))
        if self.rehearsals and not (self.settings.micro_batch or state.parallel.sharded):
            self.rehearsals -= 1
            self._halving(state, lambda: self.gradients(state, batch.rows(slice(state.micro)), alone=True))
            state.optimizer.zero_grad(set_to_none=True)
            state.micro = state.ranks.least(state.micro)
        try:
            return self.gradients(state, batch)
        except torch.OutOfMemoryError as error:
            raise too_much(state.micro, f"train.micro_batch={(state.micro + 1) // 2}") from error

    def _halving(self, state: State, attempt: Callable[[], Tensor]) -> Tensor:
        while True:
            try:
                return attempt()
            except torch.OutOfMemoryError as error:
                if self.settings.micro_batch or state.micro == 1:
                    raise too_much(state.micro, "set a smaller one, 0 to have it found") from error
                state.optimizer.zero_grad(set_to_none=True)
                state.micro = (state.micro + 1) // 2
            self.through(state).forget()
            torch.cuda.empty_cache()

    def gradients(self, state: State, batch: Batch, alone: bool = False) -> Tensor:
        """Mean loss over the batch, (); gradients, times the loss scale, are in the parameters.

        Args:
            alone: leave them, and the loss, as this process's.
        """
        settings, ranks, total = self.settings, state.ranks, torch.zeros((), device=batch.images.device)
        scale = state.scale.value * ranks.size  # DDP and FSDP take the mean over processes
        draw = self.objective.draw(batch.images, settings.seed, state.images, settings.label_dropout,
                                   batch=settings.batch, before=batch.first - state.images)  # fmt: skip
        starts = range(0, len(batch.images), state.micro)
        for start in starts:
            rows = slice(start, start + state.micro)
            last = start == starts[-1] and not alone
            with nullcontext() if last else quiet(self.objective.network):
                part = batch.rows(rows)
                total += self.through(state)(part.images, part.labels, draw.rows(rows), scale)
        if alone:
            return total
        state.parallel.average(self.through(state).marks)
        return ranks.sum(total)

    def through(self, state: State) -> Graphed:
        """How a micro-batch goes through the network and back."""
        if self.graphed is None:
            run = partial(there_and_back, self.objective, self.settings)
            self.graphed = Graphed(run, state.backbone, self.settings, state.ranks, self.say, state.parallel.exchange)
        return self.graphed

    def scaled_norm(self, state: State) -> Tensor:
        """Norm of the gradient, (), after the loss scale is taken out; gradients are clipped to `clip`."""
        gradients = [p.grad for p in state.parameters if p.grad is not None]
        norm = total_norm(gradients) / state.scale.value
        multiple = 1 / state.scale.value
        if self.settings.clip is not None:
            multiple = multiple * (self.settings.clip / (norm + 1e-6)).clamp(max=1)
        if state.scale.active or self.settings.clip is not None:
            torch._foreach_mul_([local(g) for g in gradients], multiple)
        return norm


def there_and_back(objective: Objective, settings: Train, images: Tensor, labels: Labels, draw: Draw,
                   scale: Tensor) -> Tensor:  # fmt: skip
    """What some images add to the mean loss, (); their gradient, times `scale` (), is added to the parameters'."""
    losses = objective(images, labels, draw, dropping=settings.label_dropout > 0)
    loss = losses.sum() / settings.batch
    (loss * scale).backward()
    return loss.detach()


def too_much(micro: int, fix: str) -> ZooError:
    """Memory is not enough for `micro` images."""
    return ZooError(f"out of memory with {micro} images at a time", where="train.micro_batch",
                    fix=f"{fix}, or train.precision=bf16, train.recompute=block")


def optimize(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """One step, unless skip () is true; a fused optimizer decides that on the device."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = everywhere(skip.float(), optimizer.param_groups[0]["params"][0])
        optimizer.step()
    elif not skip:
        optimizer.step()
