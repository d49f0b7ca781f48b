from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from zoo.diffusion.gaussian import Gaussian
from zoo.registry import register


@register("loss", "simple", aliases=("mse",))
@dataclass(kw_only=True)
class Simple:
    """Mean squared error of the prediction, every time weighted alike.

    Source: Ho et al. 2020 (2006.11239), Eq. 14.
    """

    def check(self, process: Gaussian) -> None:
        """Any process will do; learned variances get no gradient from this loss."""

    def __call__(self, process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Loss of each image, (B,), from the network's output at x_t = process.perturb(x0, t, eps)."""
        return squared_error(process, output, x0, eps, t)


def squared_error(process: Gaussian, output: Tensor, x0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
    """Mean over channels and pixels of (prediction - target)^2, float32 or wider, (B,)."""
    prediction = output.narrow(-3, 0, x0.shape[-3])
    error = prediction.to(x0.dtype) - process.target(x0, eps, t)
    return error.square().flatten(1).mean(1)
