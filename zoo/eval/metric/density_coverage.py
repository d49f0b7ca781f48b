from __future__ import annotations

import torch

from zoo.errors import ZooError
from zoo.eval.neighbours import covered, distances, radii
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "dc")
class DensityCoverage:
    """Density: how many real balls an image lies in, over k; coverage: how many real balls hold an image.

    Source: Naeem et al. 2020 (2002.09797), Eqs. 3 and 4.
    """

    figures = {"density": "density", "coverage": "coverage"}
    moments, rows, compares = (), ("features",), True

    def __init__(
        self,
        *,
        k: int = 5,  # which neighbour bounds a ball
    ):
        if k < 1:
            raise ZooError(f"k {k}", where="metric dc", allowed="1 or more")
        self.k = k

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        ours, real = (torch.from_numpy(tally.rows("features")).to(device) for tally in (images, reference))
        radius = radii(real, self.k)
        density = covered(ours, real, radius).double().mean() / self.k
        nearest = torch.cat([block.min(1).values for block in distances(real, ours)])
        return {"density": density.item(), "coverage": (nearest <= radius).double().mean().item()}
