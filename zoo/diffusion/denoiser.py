"""The one interface that samplers know: a backbone, its process, the labels and the guidance."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time, per_image
from zoo.diffusion.protocols import Labels
from zoo.errors import ZooError


class Denoiser:
    """Answers eps, x0 and velocity at (x, t), whatever the network predicts.

    Args:
        backbone: `backbone(x, t, y)`; x (B,C,H,W) or (B,T,C,H,W), t (B,) network time, y as here.
        process: a part of the shelf `process`.
        y: labels, (B,) int64 or {name: tensor}, or None.
        guidance: a part of the shelf `guidance`, or None.
        null: labels of the unconditional half; None asks `backbone.null(y)`.

    Times given to its methods are continuous, in [0, 1], a number or (B,).
    """

    def __init__(self, backbone: Callable, process: Gaussian, y: Labels = None, guidance=None, *, null: Labels = None):
        self.backbone, self.process, self.y, self.guidance = backbone, process, y, guidance
        self._null = null
        if guidance is not None:
            guidance.check(process, y)

    @property
    def null(self) -> Labels:
        """Labels of the unconditional half. Raises: ZooError if neither the caller nor the backbone knows them."""
        if self._null is None:
            if not hasattr(self.backbone, "null"):
                raise ZooError("the backbone has no null(y)", where="guidance", fix="give Denoiser(..., null=labels)")
            self._null = self.backbone.null(self.y)
        return self._null

    def rows(self, rows: slice | Tensor) -> Denoiser:
        """The same denoiser for some images of the batch."""
        return Denoiser(self.backbone, self.process, take(self.y, rows), self.guidance, null=take(self._null, rows))

    def __call__(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The guided network output, variance channels included."""
        if self.guidance is None:
            return self.output(x, t, self.y)
        return self.guidance(self, x, t)

    def output(self, x: Tensor, t: float | Tensor, y: Labels) -> Tensor:
        """The network output for given labels, without guidance, in the type of x."""
        time = self.process.network_time(as_time(t))
        time = time.to(x.device, torch.float64 if x.dtype == torch.float64 else torch.float32).expand(len(x))
        scale = self.process.input_scale(t)
        entering = x if scale is None else per_image(scale, x) * x
        return self.backbone(entering, time, y).to(x.dtype)

    def split(self, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor | None]:
        """(prediction, variance values or None), both (B,C,H,W)."""
        output = self(x, t)
        if not self.process.learned_variance:
            return output, None
        prediction, variance = output.chunk(2, dim=-3)
        return prediction, variance

    def eps(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The noise in x."""
        return self.process.eps(self.split(x, t)[0], x, t)

    def x0(self, x: Tensor, t: float | Tensor) -> Tensor:
        """The data behind x."""
        return self.process.x0(self.split(x, t)[0], x, t)

    def velocity(self, x: Tensor, t: float | Tensor) -> Tensor:
        """dx/dt of the probability-flow ODE."""
        return self.process.velocity(self.split(x, t)[0], x, t)


def take(y: Labels, rows: slice | Tensor) -> Labels:
    """The labels of some of B images: y (B,) or {name: (B,...)}, rows a slice or (n,) -> the same for n; None stays."""
    if isinstance(y, dict):
        return {name: value[rows] for name, value in y.items()}
    return None if y is None else y[rows]
