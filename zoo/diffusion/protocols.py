"""What each shelf's parts can be asked: the contracts between process, guidance, sampler, loss and time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian

if TYPE_CHECKING:
    from zoo.diffusion.denoiser import Denoiser

Labels = Tensor | dict[str, Tensor] | None
Draw = Callable[[int, Tensor], Tensor]
"""noise(i, x): standard normal numbers like x for step i; see `zoo.diffusion.noise.Noise`."""
OnStep = Callable[[int, int, Tensor], object]
"""on_step(i, n, x): x after step i of n."""


class TimeGrid(Protocol):
    """The times of a sampler."""

    def __call__(self, process: Gaussian, steps: int, start: float, end: float) -> Tensor:
        """Times (steps + 1,) from start down to end, in [0, 1], float64."""
        ...


class Time(Protocol):
    """The distribution of training times."""

    def __call__(self, u: Tensor, process: Gaussian) -> Tensor:
        """Times (B,), float64, from uniform numbers u (B,) in [0, 1)."""
        ...


class Loss(Protocol):
    """What training makes small."""

    def check(self, process: Gaussian) -> None:
        """Raises: ZooError if it cannot be used with the process."""
        ...

    def __call__(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Loss of each image, (B,), from the network's output at process.perturb(x0, t, eps), t (B,) in [0, 1]."""
        ...


class Guidance(Protocol):
    """How network outputs become the one that a sampler uses."""

    def check(self, process: Gaussian, y: Labels) -> None:
        """Raises: ZooError if it cannot run, before any network does."""
        ...

    def __call__(self, denoiser: Denoiser, x: Tensor, t: float | Tensor) -> Tensor:
        """The guided network output, like x (B,...), at time t in [0, 1]."""
        ...


class Sampler(Protocol):
    """From noise to data. `steps` counts what the part's field says."""

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if it cannot run, before any network does."""
        ...

    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Draw, on_step: OnStep | None = None) -> Tensor:
        """Images (B,C,H,W) or (B,T,C,H,W) from x, like them: process.prior(noise) at the sampler's first time."""
        ...
