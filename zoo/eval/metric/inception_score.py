from __future__ import annotations

import numpy as np
import torch

from zoo.errors import ZooError
from zoo.eval.tally import Tally
from zoo.registry import register


@register("metric", "is")
class InceptionScore:
    """exp of the mean divergence between the classes of an image and of all images; it needs no reference.

    Shuffled and split as torch-fidelity does, for the same seed.

    Source: Salimans et al. 2016 (1606.03498), section 4.
    """

    figures = {"IS": "IS", "IS-std": "IS-std"}
    moments, rows, compares = (), ("logits",), False

    def __init__(
        self,
        *,
        splits: int = 10,  # over which the mean is taken
        seed: int = 2020,  # of the shuffling
    ):
        if splits < 1:
            raise ZooError(f"{splits} splits", where="metric is", allowed="1 or more")
        self.splits, self.seed = splits, seed

    def __call__(self, images: Tally, reference: Tally | None, device: torch.device) -> dict[str, float]:
        logits = torch.from_numpy(images.rows("logits"))
        logs = logits[np.random.RandomState(self.seed).permutation(len(logits))].log_softmax(1)
        splits = min(self.splits, len(logs))
        scores = [score(logs[i * len(logs) // splits : (i + 1) * len(logs) // splits]) for i in range(splits)]
        return {"IS": float(np.mean(scores)), "IS-std": float(np.std(scores))}


def score(logs: torch.Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of log-probabilities (N,classes)."""
    each = logs.exp()
    return (each * (logs - each.mean(0).log())).sum(1).mean().exp().item()
