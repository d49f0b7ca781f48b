"""How far figures of rows may be trusted: over training seeds, and over resampled evaluations.

Legend: R rows, K training seeds, J evaluations of one model, N held-out images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
CERTAIN = 2.0
"""Standard errors that a difference must exceed, or it is noise: about 95 %."""


@dataclass(frozen=True)
class Figure:
    """A mean, its spread (two standard errors, None if unknown), and the same of its paired difference to row 0."""

    mean: float
    spread: float | None
    difference: float | None = None
    doubt: float | None = None

    @property
    def within_noise(self) -> bool | None:
        """Whether the difference is no larger than its spread; None where one of them is unknown."""
        return None if self.difference is None or self.doubt is None else abs(self.difference) <= self.doubt


def figures(scores: np.ndarray, evaluation: np.ndarray | None) -> list[Figure]:
    """One figure a row, differences paired with the first row.

    Args:
        scores: (R,K), the score of each row and training seed.
        evaluation: (J,R,K), the same under J resampled evaluations, which all rows share; None if there was one.
    """
    differences = scores - scores[:1]
    spreads = _spreads(scores, evaluation, np.arange(len(scores)))
    redrawn = None if evaluation is None else evaluation - evaluation[:, :1]
    doubts = _spreads(differences, redrawn, np.arange(1, len(scores)))
    return [
        Figure(float(scores[i].mean()), spreads[i], *((float(differences[i].mean()), doubts[i]) if i else (None, None)))
        for i in range(len(scores))
    ]


def _spreads(scores: np.ndarray, evaluation: np.ndarray | None, rows: np.ndarray) -> list[float | None]:
    """Two standard errors of each row's mean; the variance between seeds is pooled over `rows`."""
    seeds = scores.shape[1]
    between = float(scores[rows].var(axis=1, ddof=1).mean()) if seeds > 1 and len(rows) else None
    drawn = None if evaluation is None else evaluation.mean(2).var(axis=0, ddof=1)
    if between is None and drawn is None:
        return [None] * len(scores)
    parts = [(between or 0.0) / seeds + (0.0 if drawn is None else float(drawn[i])) for i in range(len(scores))]
    return [CERTAIN * math.sqrt(part) for part in parts]


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
    return figures(values.mean(2), centre + (np.moveaxis(values, 2, 0) - centre) / math.sqrt(draws))
