from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from zoo.diffusion.chain import keep
from zoo.diffusion.denoiser import Denoiser
from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.protocols import Draw, Guidance, OnStep
from zoo.diffusion.walk import draws
from zoo.errors import ZooError
from zoo.registry import register


@register("sampler", "ddim")
@dataclass(kw_only=True)
class DDIM:
    """DDIM down a discrete chain: eta 0 is deterministic, eta 1 as noisy as ancestral sampling.

    A learned variance is not used. The default spacing, stride, is the paper's; even is DDPM's.

    Source: Song, Meng & Ermon 2021 (2010.02502), Eq. 12 and 16.
    """

    steps: int = 50  # kept steps = network evaluations
    eta: float = 0.0  # 0: no noise; 1: that of ancestral sampling
    spacing: Literal["even", "stride"] = "stride"  # even: first to last step, rounded; stride: 0, s, 2s, ...
    sections: list[int] | None = None  # steps of equal parts of the chain, from data to noise; instead of steps
    clip: float | None = None  # clamp x0 to [-clip, clip]; 1 for pixels, None for latents

    def check(self, process: Gaussian, guidance: Guidance | None = None) -> None:
        """Raises: ZooError if the process has no chain, the steps cannot be kept, or eta is not in [0, 1]."""
        keep("ddim", process, self.steps, self.spacing, self.sections)
        if not 0 <= self.eta <= 1:
            raise ZooError(f"eta {self.eta}", where="sampler ddim", fix="give 0 to 1")

    @torch.no_grad()
    def __call__(
        self, denoiser: Denoiser, x: Tensor, *, noise: Draw | None = None, on_step: OnStep | None = None
    ) -> Tensor:
        """Images from x, pure noise; noise(i, x) is drawn for every step but the last, if eta is not 0."""
        self.check(denoiser.process, denoiser.guidance)
        noise = draws("ddim", noise, needed=self.eta > 0)
        times, chain = keep("ddim", denoiser.process, self.steps, self.spacing, self.sections)
        for number, i in enumerate(reversed(range(len(times)))):
            now, then = chain.alphas_cumprod[i], chain.previous[i]
            x0 = denoiser.x0(x, times[i])
            if self.clip is not None:
                x0 = x0.clamp(-self.clip, self.clip)
            eps = (x - now.sqrt() * x0) / (1 - now).sqrt()
            spread = self.eta * chain.posterior_variance[i].sqrt()
            x = then.sqrt() * x0 + (1 - then - spread**2).clamp(min=0).sqrt() * eps
            if self.eta and i:
                x = x + spread * noise(number, x)
            if on_step:
                on_step(number, len(times), x)
        return x
