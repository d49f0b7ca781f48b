from __future__ import annotations

import torch

from zoo.eval.moments import frechet
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "sfd")
class SpatialFrechetDistance:
    """Frechet distance of a map that still knows where things are; with Inception's it is sFID.

    Source: Nash et al. 2021 (2103.03841), section 3.3.
    """

    figures = {"sFD": "sFID"}
    moments, rows, compares = ("spatial",), (), True

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        return {"sFD": frechet(images.gaussian("spatial"), reference.gaussian("spatial"))}
