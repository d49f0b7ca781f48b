from __future__ import annotations

import numpy as np
import torch

from zoo.errors import ZooError
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "kd")
class KernelDistance:
    """Kernel distance: unbiased squared MMD under ((x y)/n + 1)^3, a mean over subsets; with Inception's it is KID.

    Slightly negative values are right. The subsets are those of torch-fidelity for the same seed.

    Source: Binkowski et al. 2018 (1801.01401), Eqs. 3 and 4.
    """

    figures = {"KD": "KID", "KD-std": "KID-std"}
    moments, rows, compares = (), ("features",), True

    def __init__(
        self,
        *,
        subsets: int = 100,  # over which the mean is taken
        subset: int = 1000,  # images in each; fewer if there are fewer
        seed: int = 2020,  # of the choice of subsets
    ):
        if subsets < 1 or subset < 2:
            raise ZooError(f"{subsets} subsets of {subset}", where="metric kd", allowed="at least 1 of at least 2")
        self.subsets, self.subset, self.seed = subsets, subset, seed

    def __call__(self, images: Tally, reference: Tally, device: torch.device) -> dict[str, float]:
        ours, theirs = images.rows("features"), reference.rows("features")
        size = min(self.subset, len(ours), len(theirs))
        chance = np.random.RandomState(self.seed)
        found = []
        for _ in range(self.subsets):
            x, y = (rows[chance.choice(len(rows), size, replace=False)] for rows in (ours, theirs))
            found.append(mmd(*(torch.from_numpy(part).to(device) for part in (x, y))))
        return {"KD": float(np.mean(found)), "KD-std": float(np.std(found))}


def mmd(x: torch.Tensor, y: torch.Tensor) -> float:
    """Unbiased estimate of the squared maximum mean discrepancy of two sets of rows (m,n), float64."""
    m = len(x)
    xx, yy, xy = (kernel(*pair) for pair in ((x, x), (y, y), (x, y)))
    within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The cubic kernel between all pairs."""
    return (x @ y.T / x.shape[1] + 1) ** 3
