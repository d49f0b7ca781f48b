from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.loss.simple import squared_error
from zoo.errors import ZooError
from zoo.registry import register


@register("loss", "min_snr")
@dataclass(kw_only=True)
class MinSNR:
    """Squared error of x0 weighted by min(SNR, gamma), whatever the network predicts.

    For eps that is min(SNR, gamma)/SNR, for v min(SNR, gamma)/(SNR + 1).

    Source: Hang et al. 2023 (2303.09556), section 3.4.
    """

    gamma: float = 5.0  # the largest weight

    def check(self, process: Gaussian) -> None:
        """Raises: ZooError if gamma is not positive."""
        if not self.gamma > 0:
            raise ZooError(f"gamma {self.gamma}", where="loss min_snr", fix="make it positive")

    def __call__(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Loss of each image, (B,), from the network's output at x_t = process.perturb(x0, t, eps)."""
        snr = (2 * process.log_snr(t)).exp()
        weight = snr.clamp(max=self.gamma) / process.prediction_scale(t) ** 2
        return weight.to(x0.device, x0.dtype) * squared_error(process, output, x0, eps, t)
