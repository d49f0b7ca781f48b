"""Numbered images from a backbone: image i depends on (seed, i, its labels), never on the batch.

Each image has its own noise, drawn on the CPU; so batch size, device and order change it by rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.builder import build_process, section
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.noise import Noise
from zoo.errors import ShapeError, ZooError
from zoo.ops.precision import PRECISIONS, computing
from zoo.recipe import Recipe
from zoo.sampling.labels import Labels, labels_for
from zoo.sampling.size import Size, start_shape

OnStep = Callable[[int, int, Tensor], None]


@dataclass(frozen=True)
class Plan:
    """Everything that turns numbers into images."""

    backbone: nn.Module
    recipe: Recipe
    process: Any
    sampler: Any
    guidance: Any
    autoencoder: Any
    shape: tuple[int, ...]
    seed: int
    device: torch.device
    precision: str = "fp32"

    @property
    def frames(self) -> int:
        """Frames of a video; 0 for images."""
        return self.shape[0] if len(self.shape) > 3 else 0

    @property
    def size(self) -> Size:
        """(height, width) of the images in pixels."""
        height, width = (side * self.autoencoder.factor for side in self.shape[-2:])
        return height, width

    def draw(self, indices: Sequence[int], labels: Mapping[str, Any] | None = None, batch: int = 64,
             on_step: OnStep | None = None) -> Iterator[tuple[int, np.ndarray]]:  # fmt: skip
        """Check everything now, then yield (index, image), see `generate`."""
        if batch < 1:
            raise ZooError(f"batch {batch}", where="sampling", fix="give at least 1")
        indices = [int(i) for i in indices]
        y = labels_for(self.backbone, self.recipe, indices, labels)
        self.sampler.check(self.process, self.guidance)
        self.denoiser(y)  # guidance refuses what it cannot guide
        self.autoencoder.load(self.device)
        return self.batches(indices, y, batch, on_step)

    def batches(self, indices: Sequence[int], y: Labels | None, batch: int, on_step: OnStep | None):
        """Numbered images, a batch at a time."""
        for start in range(0, len(indices), batch):
            rows = slice(start, start + batch)
            part = {name: value[rows] for name, value in y.items()} if y else None
            yield from zip(indices[rows], self.images(indices[rows], part, on_step))

    def denoiser(self, y: Labels | None) -> Denoiser:
        """The guided network for a batch with these labels."""
        y = {name: value.to(self.device) for name, value in y.items()} if y else None
        return Denoiser(self.backbone, self.process, y, self.guidance)

    @torch.no_grad()  # not inference_mode: what the backbone caches here may meet training later
    def images(self, indices: Sequence[int], y: Labels | None, on_step: OnStep | None = None) -> np.ndarray:
        """(B,H,W,C) uint8; of videos (B,T,H,W,C)."""
        noise = Noise(self.seed, indices)
        x = self.process.prior(noise.start(self.shape, self.device))
        with evaluating(self.backbone), computing(self.device, self.precision):
            x = self.sampler(self.denoiser(y), x, noise=noise, on_step=on_step)
        finite = torch.isfinite(x.flatten(1)).all(1)
        if not finite.all():
            broken = [i for i, good in zip(indices, finite.tolist()) if not good]
            raise ZooError(f"the network gave values that are not finite for images {broken}", where="sampling",
                           fix="look at the weights, or use more steps")
        return to_uint8(self.autoencoder.decode(x))


def generate(backbone: nn.Module, recipe: Recipe, indices: Sequence[int], *, seed: int = 0,
             labels: Mapping[str, Any] | None = None, size: Size | None = None, batch: int = 64,
             device: str | torch.device | None = None, precision: str = "fp32", on_step: OnStep | None = None,
             ) -> Iterator[tuple[int, np.ndarray]]:  # fmt: skip
    """Yields (index, image), the image (H,W,C) or video (T,H,W,C) uint8, in the order of `indices`.

    Args:
        indices: numbers of the images; any subset gives the same images.
        labels: input -> one value per index; None takes classes in turn, see `labels_for`.
        size: (height, width) in pixels; None is the recipe's.
        batch: images at a time.
        device: where to compute, the backbone is moved there; None leaves it where it is.
        precision: fp32, tf32, bf16 or fp16, of matrix products; below fp32 the batch size shows in the last bits.
        on_step: hears (step, steps, x) of each batch.

    Raises: ShapeError, ZooError before anything is drawn, if sizes, labels, sampler and guidance do not fit.
    """
    planned = plan(backbone, recipe, seed=seed, size=size, device=device, precision=precision)
    return planned.draw(indices, labels, batch, on_step)


def plan(backbone: nn.Module, recipe: Recipe, *, seed: int = 0, size: Size | None = None,
         device: str | torch.device | None = None, precision: str = "fp32") -> Plan:  # fmt: skip
    """The parts of the recipe that sampling needs, built and checked against each other.

    Raises: ShapeError, ZooError if size, autoencoder or precision do not fit.
    """
    if precision not in PRECISIONS:
        raise ZooError(f"precision {precision!r}", where="sampling", allowed=PRECISIONS, given=precision)
    device = torch.device(device) if device is not None else next(backbone.parameters()).device
    autoencoder, sampler, guidance = (section(recipe, name)() for name in ("autoencoder", "sampler", "guidance"))
    shape = start_shape(backbone, recipe, autoencoder, size, getattr(guidance, "multiple", 1))
    if autoencoder.factor == 1 and shape[-3] not in (1, 3):
        raise ShapeError(f"the model makes {shape[-3]} channels, an image has 1 or 3", where="autoencoder",
                         fix="these are latents: name the autoencoder that decodes them")
    return Plan(backbone.to(device), recipe, build_process(recipe), sampler, guidance, autoencoder, shape, seed,
                device, precision)  # fmt: skip


def to_uint8(images: Tensor) -> np.ndarray:
    """(B,[T,]C,H,W) in [-1, 1] -> (B,[T,]H,W,C) in 0..255: round((x + 1) 127.5), ties to even, clipped."""
    levels = ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.movedim(-3, -1).cpu().numpy()


@contextmanager
def evaluating(backbone: nn.Module) -> Iterator[None]:
    """Eval mode inside, afterwards every module's own mode again."""
    training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
