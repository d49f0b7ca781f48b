from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.chain import keep
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.protocols import Draw, Guidance, OnStep
from zoo.registry import register


@register("sampler", "ddpm", aliases=("ancestral",))
@dataclass(kw_only=True)
class DDPM:
    """Ancestral sampling down a discrete chain, whole or respaced, with the process's own variance.

    The network always sees the original times. DiT and DiS: steps 250, even spacing, learned_range.

    Sources: Ho et al. 2020 (2006.11239), Algorithm 2; Nichol & Dhariwal 2021 (2102.09672), section 4.
    """

    steps: int = 250  # kept steps = network evaluations
    spacing: Literal["even", "stride"] = "even"  # even: first to last step, rounded; stride: 0, s, 2s, ...
    sections: list[int] | None = None  # steps of equal parts of the chain, from data to noise; instead of steps
    clip: float | None = None  # clamp x0 to [-clip, clip]; 1 for pixels, None for latents

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the process has no chain, or the steps cannot be kept."""
        keep("ddpm", process, self.steps, self.spacing, self.sections)

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, x: Tensor, *, noise: Draw, on_step: OnStep | None = None) -> Tensor:
        """Images from x, pure noise; noise(i, x) is drawn for every step but the last."""
        process = denoiser.process
        times, chain = keep("ddpm", process, self.steps, self.spacing, self.sections)
        for number, i in enumerate(reversed(range(len(times)))):
            t = times[i]
            prediction, values = denoiser.split(x, t)
            x0 = process.x0(prediction, x, t)
            mean = chain.posterior_mean(x0 if self.clip is None else x0.clamp(-self.clip, self.clip), x, i)
            if i:
                mean = mean + (0.5 * chain.log_variance(process.variance, values, x, i)).exp() * noise(number, x)
            x = mean
            if on_step:
                on_step(number, len(times), x)
        return x
