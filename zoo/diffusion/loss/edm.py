from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.diffusion.loss.simple import squared_error
from zoo.errors import ZooError
from zoo.registry import register


@register("loss", "edm")
@dataclass(kw_only=True)
class EDMLoss:
    """Squared error of x0 weighted by (s^2 + data^2)/(s data)^2, s = sigma/alpha, whatever the network predicts.

    With process edm this is the plain squared error of the network's own output.

    Source: Karras et al. 2022 (2206.00364), Table 1 and Eq. 8.
    """

    sigma_data: float = 0.5  # standard deviation of the data

    def check(self, process: Gaussian) -> None:
        """Raises: ZooError if sigma_data is not positive."""
        if not self.sigma_data > 0:
            raise ZooError(f"sigma_data {self.sigma_data}", where="loss edm", fix="make it positive")

    def __call__(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Loss of each image, (B,), from the network's output at x_t = process.perturb(x0, t, eps)."""
        snr = (2 * process.log_snr(t)).exp()
        weight = (1 / self.sigma_data**2 + snr) / process.prediction_scale(t) ** 2
        return weight.to(x0.device, x0.dtype) * squared_error(process, output, x0, eps, t)
