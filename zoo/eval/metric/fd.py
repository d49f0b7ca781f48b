from __future__ import annotations

import torch

from zoo.eval.moments import frechet
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "fd")
class FrechetDistance:
    """Frechet distance between Gaussians fitted to the features; with Inception's it is FID.

    Source: Heusel et al. 2017 (1706.08500), Eq. 6.
    """

    figures = {"FD": "FID"}
    moments, rows, compares = ("features",), (), True

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        return {"FD": frechet(images.gaussian("features"), reference.gaussian("features"))}
