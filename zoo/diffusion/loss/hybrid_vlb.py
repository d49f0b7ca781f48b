from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.diffusion.chain import Chain
from zoo.diffusion.gaussian import Gaussian, as_time, per_image
from zoo.diffusion.loss.simple import squared_error
from zoo.errors import ZooError
from zoo.registry import register


@register("loss", "hybrid_vlb")
@dataclass(kw_only=True)
class HybridVLB:
    """Mean squared error plus the variational bound, which trains the learned variance only.

    The bound is in bits per dimension, its mean is detached; at the first step it is the likelihood of
    8-bit pixels, also for latents, as DiT and DiS were trained.

    Source: Nichol & Dhariwal 2021 (2102.09672), Eq. 16.
    """

    weight: float = 1.0  # of the bound: 1 in DiT, steps/1000 in improved DDPM

    def check(self, process: Gaussian) -> None:
        """Raises: ZooError if the process has no chain with a learned variance."""
        if not process.learned_variance or process.alphas_cumprod is None:
            raise ZooError(
                "the process has no learned variance",
                where="loss hybrid_vlb",
                fix="use process {use: discrete, variance: learned_range}, or loss simple",
            )

    def __call__(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Loss of each image, (B,), from the network's output at x_t = process.perturb(x0, t, eps)."""
        return squared_error(process, output, x0, eps, t) + self.weight * self.bound(process, output, x0, eps, t)

    def bound(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The bound's term at t in bits per dimension, (B,)."""
        prediction, values = output.to(x0.dtype).chunk(2, dim=-3)
        self.check(process)
        signal = process.alphas_cumprod.to(as_time(t))  # type: ignore[union-attr]  # checked
        x, chain, i = process.perturb(x0, t, eps), Chain(signal), (as_time(t) * len(signal)).round().long() - 1
        mean = chain.posterior_mean(process.x0(prediction.detach(), x, t), x, i)
        log_variance = chain.log_variance("learned_range", values, x, i)
        true = chain.posterior_mean(x0, x, i), chain.log_variance("fixed_small", None, x, i)
        nats = torch.where(
            per_image(i == 0, x).bool(),
            -pixel_log_likelihood(x0, mean, log_variance),
            gaussian_kl(*true, mean, log_variance),
        )
        return nats.flatten(1).mean(1) / math.log(2)


def gaussian_kl(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(other)), nats an element; expm1 keeps it exact near zero."""
    gap = log_variance - other_log_variance
    return 0.5 * (torch.expm1(gap) - gap + (mean - other_mean) ** 2 * (-other_log_variance).exp())


def pixel_log_likelihood(x: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log probability of 8-bit pixels, in [-1, 1], under a Gaussian cut into 256 bins (Ho et al. 2020, Eq. 13)."""
    scale = (-0.5 * log_variance).exp()
    upper, lower = normal_cdf(scale * (x - mean + 1 / 255)), normal_cdf(scale * (x - mean - 1 / 255))
    inside = torch.where(x > 0.999, 1 - lower, upper - lower)
    return torch.where(x < -0.999, upper, inside).clamp(min=1e-12).log()


def normal_cdf(x: Tensor) -> Tensor:
    """The tanh approximation of the normal distribution's CDF that ADM and DiT trained with."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
