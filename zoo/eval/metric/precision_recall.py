from __future__ import annotations

import torch

from zoo.errors import ZooError
from zoo.eval.neighbours import covered, radii
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "pr")
class PrecisionRecall:
    """Precision: how many images lie among the real ones; recall: how many real ones lie among the images.

    Source: Kynkaanniemi et al. 2019 (1904.06991), Eqs. 1 and 2.
    """

    figures = {"precision": "precision", "recall": "recall"}
    moments, rows, compares = (), ("features",), True

    def __init__(
        self,
        *,
        k: int = 3,  # which neighbour bounds a ball
    ):
        if k < 1:
            raise ZooError(f"k {k}", where="metric pr", allowed="1 or more")
        self.k = k

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        ours, real = (torch.from_numpy(tally.rows("features")).to(device) for tally in (images, reference))
        precision = (covered(ours, real, radii(real, self.k)) > 0).double().mean()
        recall = (covered(real, ours, radii(ours, self.k)) > 0).double().mean()
        return {"precision": precision.item(), "recall": recall.item()}
