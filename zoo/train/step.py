"""One update of the weights: draws, loss, gradients, clipping, optimizer, averages."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.builder import build_process, section
from zoo.data.loader import Batch
from zoo.diffusion.denoiser import Denoiser
from zoo.errors import ZooError
from zoo.ops.precision import autocast
from zoo.recipe import Recipe
from zoo.train.guard import Guard
from zoo.train.schedule import factor
from zoo.train.settings import Train
from zoo.train.state import State

MASK = 2**64 - 1
Labels = dict[str, Tensor]


class Draw(NamedTuple):
    """What chance decides about a batch: t (B,) in [0, 1], eps like the images, drop (B,) bool."""

    t: Tensor
    eps: Tensor
    drop: Tensor

    def split(self, size: int) -> list[Draw]:
        """In parts of at most `size` images."""
        return [Draw(*part) for part in zip(*(value.split(size) for value in self))]


def generator(seed: int, images: int, device: torch.device) -> torch.Generator:
    """The random numbers of the update that begins after `images` images (splitmix64 of both numbers)."""
    z = (seed * 0x9E3779B97F4A7C15 + images + 0x632BE59BD9B4E019) & MASK
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
        self.process, self.loss, self.time = build_process(recipe), section(recipe, "loss")(), section(recipe, "time")()
        self.loss.check(self.process)

    def draw(self, images: Tensor, seed: int, first: int, label_dropout: float) -> Draw:
        """The draws for the batch that begins at image number `first`, made on its device."""
        chance, batch, device = generator(seed, first, images.device), len(images), images.device
        u, dropped = torch.rand(2, batch, generator=chance, device=device, dtype=precise(device))
        eps = torch.randn(images.shape, generator=chance, device=device)
        return Draw(self.time(u, self.process), eps, dropped < label_dropout)

    def __call__(self, x0: Tensor, labels: Labels, draw: Draw, *, dropping: bool = False) -> Tensor:
        """Loss of each image, (B,) float32."""
        y = self.backbone.drop(labels, draw.drop) if dropping else labels
        x_t = self.process.perturb(x0, draw.t, draw.eps)
        with autocast(x0.device, self.precision):
            output = Denoiser(self.backbone, self.process, y or None).output(x_t, draw.t, y or None)
        return self.loss(self.process, output.float(), x0, draw.eps, draw.t)


class Update:
    """`update(state, batch)`: the whole batch, in micro-batches, and one step of the optimizer."""

    def __init__(self, objective: Objective, settings: Train, guard: Guard):
        self.objective, self.settings, self.guard = objective, settings, guard

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

        Raises: ZooError if the recipe sets the micro-batch, or not even one image fits.
        """
        while True:
            try:
                return self.gradients(state, batch)
            except torch.OutOfMemoryError as error:
                if self.settings.micro_batch or state.micro == 1:
                    raise ZooError(f"out of memory with {state.micro} images at a time", where="train.micro_batch",
                                   fix="set a smaller one, 0 to have it found, or train.precision=bf16") from error
                state.optimizer.zero_grad(set_to_none=True)
                state.micro = (state.micro + 1) // 2
            torch.cuda.empty_cache()

    def gradients(self, state: State, batch: Batch) -> Tensor:
        """Mean loss over the batch, (); gradients, times the loss scale, are in the parameters."""
        settings, total = self.settings, torch.zeros((), device=batch.images.device)
        draw = self.objective.draw(batch.images, settings.seed, batch.first, settings.label_dropout)
        labels = {name: value.split(state.micro) for name, value in batch.labels.items()}
        for i, (x0, part) in enumerate(zip(batch.images.split(state.micro), draw.split(state.micro))):
            y = {name: parts[i] for name, parts in labels.items()}
            losses = self.objective(x0, y, part, dropping=settings.label_dropout > 0)
            loss = losses.sum() / len(batch.images)
            (loss * state.scale.value).backward()
            total += loss.detach()
        return total

    def scaled_norm(self, state: State) -> Tensor:
        """Norm of the gradient, (), after the loss scale is taken out; gradients are clipped to `clip`."""
        gradients = [p.grad for p in state.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients) / state.scale.value
        multiple = 1 / state.scale.value
        if self.settings.clip is not None:
            multiple = multiple * (self.settings.clip / (norm + 1e-6)).clamp(max=1)
        if state.scale.active or self.settings.clip is not None:
            torch._foreach_mul_(gradients, multiple)
        return norm


def optimize(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """One step, unless skip () is true; a fused optimizer decides that on the device."""
    if getattr(optimizer, "_step_supports_amp_scaling", False):
        optimizer.found_inf = skip.float()
        optimizer.step()
    elif not skip:
        optimizer.step()
