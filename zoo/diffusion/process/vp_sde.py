from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from zoo.diffusion.gaussian import as_time
from zoo.diffusion.variance_preserving import Cosine, LinearBeta, VariancePreserving
from zoo.errors import ZooError, at_least
from zoo.registry import register


@register("process", "vp_sde")
class VPSDE(VariancePreserving):
    """Continuous variance-preserving SDE: beta(t) from 0.1 to 20, t uniform on [0, 1).

    The backbone receives `time_scale` t. Source: Song et al. 2021 (2011.13456), Eq. 11 and 32; as trained
    by U-ViT (CIFAR-10, CelebA, ImageNet 64, latent L models) and DiM (CIFAR-10).
    """

    allowed: ClassVar[tuple[str, ...]] = ("eps", "x0", "v")

    def __init__(
        self,
        *,
        predict: Literal["eps", "x0", "v"] = "eps",  # what the network gives
        schedule: Literal["linear", "cosine"] = "linear",  # linear: beta(t); cosine: Nichol & Dhariwal 2021
        beta_min: float = 0.1,  # beta(0), linear schedule
        beta_max: float = 20.0,  # beta(1), linear schedule
        offset: float = 0.008,  # s of the cosine schedule
        time_scale: float = 999.0,  # network time at t = 1
    ):
        self.predict, self.time_scale = predict, time_scale
        self.check_prediction("vp_sde")
        if not 0 <= beta_min < beta_max:
            raise ZooError(f"beta from {beta_min} to {beta_max}", where="process vp_sde",
                           fix="need 0 <= beta_min < beta_max")
        at_least(0, offset, "process.offset")
        self.schedule = LinearBeta(beta_min, beta_max) if schedule == "linear" else Cosine(offset)

    def network_time(self, t: float | Tensor) -> Tensor:
        return self.time_scale * as_time(t)
