from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.protocols import Labels
from zoo.registry import register

if TYPE_CHECKING:
    from zoo.diffusion.denoiser import Denoiser


@register("guidance", "none")
@dataclass(kw_only=True)
class NoGuidance:
    """The network as it is, with the labels that it is given."""

    def check(self, process: Gaussian, y: Labels) -> None:
        """Nothing is needed."""

    def __call__(self, denoiser: Denoiser, x: Tensor, t: float | Tensor) -> Tensor:
        """The network output at (x, t)."""
        return denoiser.output(x, t, denoiser.y)
