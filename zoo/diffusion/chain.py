"""A chain of noising steps, whole or respaced, and what ancestral sampling and its bound need of it."""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, per_image
from zoo.errors import ZooError


class Chain:
    """Steps 0..K-1 of a chain that keeps some of the times of a longer one.

    Args:
        alphas_cumprod: alpha^2 at the kept times, rising time, float64.

    Sources: Ho et al. 2020 (2006.11239), Eq. 6-7; Nichol & Dhariwal 2021 (2102.09672), Eq. 15 and section 4.
    """

    def __init__(self, alphas_cumprod: Tensor):
        self.alphas_cumprod = alphas_cumprod
        self.previous = torch.cat([torch.ones_like(alphas_cumprod[:1]), alphas_cumprod[:-1]])
        self.betas = 1 - alphas_cumprod / self.previous
        noise, before = 1 - alphas_cumprod, 1 - self.previous
        self.posterior_variance = self.betas * before / noise
        self.mean_x0 = self.betas * self.previous.sqrt() / noise
        self.mean_x = before * (1 - self.betas).sqrt() / noise
        second = self.posterior_variance[1:2] if len(alphas_cumprod) > 1 else self.betas[:1]
        self.log_small = torch.cat([second, self.posterior_variance[1:]]).log()  # the first is zero: take the second
        self.log_large = torch.cat([second, self.betas[1:]]).log()

    def posterior_mean(self, x0: Tensor, x: Tensor, i: int | Tensor) -> Tensor:
        """Mean of q(x_{i-1} | x_i, x0)."""
        return per_image(self.mean_x0[i], x) * x0 + per_image(self.mean_x[i], x) * x

    def log_variance(self, kind: str, values: Tensor | None, x: Tensor, i: int | Tensor) -> Tensor:
        """log variance of p(x_{i-1} | x_i); learned_range lies between the two fixed ones, at (values + 1)/2."""
        if kind == "learned_range":
            assert values is not None, "a process with a learned variance splits its output"
            share, low, high = (values + 1) / 2, self.log_small[i], self.betas[i].log()
            return share * per_image(high, x) + (1 - share) * per_image(low, x)
        return per_image((self.log_large if kind == "fixed_large" else self.log_small)[i], x)


def even_indices(total: int, counts: list[int]) -> list[int]:
    """Sections of the chain, each with `count` steps from its first to its last, rounded to even.

    Source: Nichol & Dhariwal 2021, section 4; as in DiT's respacing "250" or "10,15,20".
    """
    length, extra = divmod(total, len(counts))
    sizes = [length + (i < extra) for i in range(len(counts))]
    indices = []
    for start, size, count in zip(accumulate([0, *sizes]), sizes, counts):
        if not 1 <= count <= size:
            raise ZooError(f"{count} steps of a section of {size}", where="respacing", fix=f"give 1 to {size}")
        stride, place = (size - 1) / (count - 1) if count > 1 else 1.0, 0.0
        for _ in range(count):
            indices.append(start + round(place))
            place += stride  # added up, not multiplied: rounding at .5 follows the published code
    return indices


def strided_indices(total: int, count: int) -> list[int]:
    """Exactly `count` steps 0, s, 2s, ... for the smallest such integer s (Song et al. 2021, DDIM)."""
    for stride in range(1, total):
        if len(range(0, total, stride)) == count:
            return list(range(0, total, stride))
    reachable = sorted({len(range(0, total, s)) for s in range(1, total)}, key=lambda n: abs(n - count))[:4]
    raise ZooError(
        f"no whole stride gives {count} of {total} steps",
        where="respacing",
        allowed=[f"{n}" for n in sorted(reachable)],
        fix="or use spacing: even",
    )


class Kept(NamedTuple):
    """The steps of a chain that a sampler keeps: their times, rising, and the chain that they make."""

    times: list[float]
    chain: Chain


def keep(name: str, process: Gaussian, steps: int, spacing: str, sections: list[int] | None) -> Kept:
    """Some steps of a process's chain.

    Raises: ZooError if the process has no chain, or these steps cannot be kept.
    """
    if process.alphas_cumprod is None:
        what = f"process {type(process).__name__} has no discrete chain"
        fix = "use process discrete, or a sampler of continuous time such as dpm_solver"
        raise ZooError(what, where=f"sampler {name}", fix=fix)
    total = len(process.alphas_cumprod)
    if sections is None and not 1 <= steps <= total:
        raise ZooError(f"steps {steps} of a chain of {total}", where=f"sampler {name}", fix=f"give 1 to {total}")
    strided = spacing == "stride" and sections is None
    indices = strided_indices(total, steps) if strided else even_indices(total, sections or [steps])
    return Kept([(i + 1) / total for i in indices], Chain(process.alphas_cumprod[indices]))
