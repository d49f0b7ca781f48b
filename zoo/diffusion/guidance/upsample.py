from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from zoo.diffusion.gaussian import Gaussian, as_time, per_image
from zoo.diffusion.nested import nested
from zoo.diffusion.protocols import Guidance, Labels
from zoo.errors import ShapeError, ZooError
from zoo.registry import Make, register

if TYPE_CHECKING:
    from zoo.diffusion.denoiser import Denoiser

NEAR = 1e-6  # so that float32's 0.7 is 0.7


@register("guidance", "upsample")
@dataclass(kw_only=True)
class Upsample:
    """Upsample guidance: early on, the coarse part of eps is what the network says about the small image.

    eps(x, t) + weight up_m(eps(x_low, tau) / m - down_m(eps(x, t))) for t >= 1 - early, where tau is the
    time whose SNR is m^2 times that of t, and x_low is down_m(x) brought to the noise of tau, which is
    down_m(x) / sqrt(alpha^2 + sigma^2/m^2) if variance is preserved. It acts on top of `base`, with the
    same labels and scale at both sizes. With the exact tau this is the same as replacing the coarse part of
    x0, x0 + weight up_m(x0_low - down_m(x0)), which also holds where x is pure noise.

    Source: DiM (2405.14224), Eq. 4, after Hwang et al. 2024 (2404.01709).
    """

    factor: int = 2  # m: the network was trained at 1/m of this height and width
    weight: float = 1.0  # theta
    early: float = 0.3  # eta: acts on this first part of the time, of a discrete chain; 0.5 with vp_sde
    base: Make[Guidance] = "cfg"  # guidance of both sizes
    published: bool = False  # times and SNR on DiM's grid of 1000 steps, off by up to two steps; False: exact

    def __post_init__(self):
        self.inner: Guidance = nested("guidance", self.base)
        if self.factor < 2:
            raise ZooError(f"factor {self.factor}", where="guidance upsample", fix="give an integer of 2 or more")

    def check(self, process: Gaussian, y: Labels) -> None:
        """Raises: ZooError if the base cannot run, or the published grid is asked of another process."""
        self.inner.check(process, y)
        if self.published and (process.alphas_cumprod is None or len(process.alphas_cumprod) != 1000):
            raise ZooError(
                "published needs a chain of 1000 steps",
                where="guidance upsample",
                fix="set published: false, or use process discrete",
            )

    @property
    def multiple(self) -> int:
        """Height and width in patches are multiples of this."""
        return self.factor * getattr(self.inner, "multiple", 1)

    def __call__(self, denoiser: Denoiser, x: Tensor, t: float | Tensor) -> Tensor:
        """The guided network output at (x, t)."""
        height, width = x.shape[-2:]
        if height % self.factor or width % self.factor:
            raise ShapeError(
                f"size {height}x{width} is not a multiple of factor {self.factor}", where="guidance upsample"
            )
        output = self.inner(denoiser, x, t)
        weight = torch.where(as_time(t) >= 1 - self.early - NEAR, self.weight, 0.0)
        if not weight.any():
            return output
        process, channels = denoiser.process, x.shape[-3]
        prediction, rest = output.narrow(-3, 0, channels), output.narrow(-3, channels, output.shape[-3] - channels)
        low_x, low_t = self.low(process, x, t)
        low = self.inner(denoiser, low_x, low_t).narrow(-3, 0, channels)
        if self.published:
            eps = process.eps(prediction, x, t)
            coarse = process.eps(low, low_x, low_t) / self.factor - shrink(eps, self.factor)
            guided = process.prediction(eps + per_image(weight, x) * enlarge(coarse, self.factor), x, t)
        else:
            coarse = process.x0(low, low_x, low_t) - shrink(process.x0(prediction, x, t), self.factor)
            guided = prediction + per_image(weight * process.slope_in_x0(t), x) * enlarge(coarse, self.factor)
        return torch.cat([guided, rest], dim=-3)

    def low(self, process: Gaussian, x: Tensor, t: float | Tensor) -> tuple[Tensor, Tensor]:
        """(x_low, tau): the small image and the time at which it is a sample of the process."""
        if self.published and process.alphas_cumprod is not None:
            signal, tau = published_power_and_time(process.alphas_cumprod, t, self.factor)
            scale = 1 / (signal + (1 - signal) / self.factor**2).sqrt()
        else:
            tau = process.time_of_log_snr(process.log_snr(t) + math.log(self.factor))
            scale = self.factor * process.sigma(tau) / process.sigma(t)
        return per_image(scale, x) * shrink(x, self.factor), tau


def published_power_and_time(alphas_cumprod: Tensor, t: float | Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """(alpha^2, tau) as DiM's code has them: alpha^2 at trunc(float32 1000 t), tau from a descending grid."""
    signal = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod])
    grid = (999 - torch.arange(1000, dtype=torch.float32)) / 1000
    grid[-1] = 1e-5
    snr = signal / (1 - signal)
    time = as_time(t).float()
    index = (time * 1000).long()
    nearest = (factor**2 * snr[index].unsqueeze(-1) - snr[(grid * 1000).long()]).abs().argmin(-1)
    return signal[index], torch.minimum(1 - nearest / 999, time).double()


def shrink(x: Tensor, factor: int) -> Tensor:
    """Means over squares of factor x factor pixels; any leading dimensions."""
    return F.avg_pool2d(x.flatten(0, -4), factor).unflatten(0, x.shape[:-3])


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Every pixel factor x factor times."""
    return x.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
