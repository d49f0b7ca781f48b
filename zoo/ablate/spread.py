"""How far figures of rows may be trusted: over training seeds, and over resampled evaluations.

Legend: R rows, K training seeds, J evaluations of one model, N held-out images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
FREEDOM = (1, 2, 3, 4, 5, 6, 8, 10, 15, 30, math.inf)
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.306, 2.228, 2.131, 2.042, 1.960)
"""Standard errors that hold 95 %, by the degrees of freedom of their estimate (Student 1908)."""


@dataclass(frozen=True)
class Figure:
    """A mean, its spread (half its 95 % interval, None if unknown), and the same of its paired difference to row 0."""

    mean: float
    spread: float | None
    difference: float | None = None
    doubt: float | None = None

    @property
    def within_noise(self) -> bool | None:
        """Whether the difference is no larger than its spread; None where one of them is unknown."""
        return None if self.difference is None or self.doubt is None else abs(self.difference) <= self.doubt


def figures(scores: np.ndarray, evaluation: np.ndarray | None, pooled: bool = False) -> list[Figure]:
    """One figure a row, differences paired with the first row.

    Args:
        scores: (R,K), the score of each row and training seed.
        evaluation: (J,R,K), the same under J resampled evaluations, which all rows share; None if there was one.
        pooled: whether their variance, like that between seeds, is estimated from all rows together.
    """
    differences = scores - scores[:1]
    spreads = _spreads(scores, evaluation, np.arange(len(scores)), pooled)
    redrawn = None if evaluation is None else evaluation - evaluation[:, :1]
    doubts = _spreads(differences, redrawn, np.arange(1, len(scores)), pooled)
    return [
        Figure(float(scores[i].mean()), spreads[i], *((float(differences[i].mean()), doubts[i]) if i else (None, None)))
        for i in range(len(scores))
    ]


def _spreads(scores: np.ndarray, evaluation: np.ndarray | None, rows: np.ndarray, pooled: bool) -> list[float | None]:
    """Half the 95 % interval of each row's mean; the variance between seeds is pooled over `rows`."""
    seeds, parts = scores.shape[1], []  # (variance of each mean, degrees of freedom)
    if seeds > 1 and len(rows):
        between = float(scores[rows].var(axis=1, ddof=1).mean()) / seeds
        parts.append((np.full(len(scores), between), len(rows) * (seeds - 1)))
    if evaluation is not None and len(rows):
        drawn = evaluation.mean(2).var(axis=0, ddof=1)
        drawn = np.full(len(scores), drawn[rows].mean()) if pooled else drawn
        parts.append((drawn, (len(evaluation) - 1) * (len(rows) if pooled else 1)))
    if not parts:
        return [None] * len(scores)
    return [interval([(float(variance[i]), freedom) for variance, freedom in parts]) for i in range(len(scores))]


def interval(parts: Sequence[tuple[float, int]]) -> float:
    """Half the 95 % interval of a mean whose variance is a sum of estimates, each with its degrees of freedom.

    Source: Welch 1947 and Satterthwaite 1946 for the degrees of freedom of the sum.
    """
    total = sum(variance for variance, _ in parts)
    if not total:
        return 0.0
    freedom = total**2 / sum(variance**2 / known for variance, known in parts)
    factor = np.interp(1 / freedom, [1 / f for f in FREEDOM[::-1]], STUDENT[::-1])
    return float(factor) * math.sqrt(total)


def from_images(losses: np.ndarray) -> list[Figure]:
    """Figures of mean losses (R,K,N), the evaluation resampled by the bootstrap over images.

    Every row is resampled by the same images, so that what is easy or hard for all drops out of differences.
    Source: Efron & Tibshirani 1993, chapter 6.
    """
    images = losses.shape[2]
    counts = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), RESAMPLES)
    evaluation = np.einsum("jn,rkn->jrk", counts / images, losses)
    return figures(losses.mean(2), evaluation)


def from_draws(values: np.ndarray) -> list[Figure]:
    """Figures of a metric (R,K,J), computed anew for J draws of noise that all rows share."""
    draws = values.shape[2]
    if draws < 2:
        return figures(values.mean(2), None)
    centre = values.mean(2)[None]
    return figures(values.mean(2), centre + (np.moveaxis(values, 2, 0) - centre) / math.sqrt(draws), pooled=True)
