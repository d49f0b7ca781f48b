"""Mean and covariance in float64, a block of rows at a time, and the Frechet distance between two of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Gaussian(NamedTuple):
    """mean (n,) and unbiased covariance (n,n), float64."""

    mean: np.ndarray
    cov: np.ndarray


class Moments:
    """Count, mean and scatter of rows; blocks and other moments are added without losing digits.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """

    def __init__(self, count: int, mean: np.ndarray, scatter: np.ndarray):
        self.count, self.mean, self.scatter = count, mean, scatter

    @classmethod
    def of(cls, rows: np.ndarray) -> Moments:
        """The moments of a block of rows (B,n)."""
        rows = np.asarray(rows, dtype=np.float64)
        mean = rows.mean(0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets of rows."""
        total = self.count + other.count
        shift = other.mean - self.mean
        self.scatter += other.scatter + np.outer(shift, shift) * (self.count * other.count / total)
        self.mean = self.mean + shift * (other.count / total)
        self.count = total
        return self

    @property
    def gaussian(self) -> Gaussian:
        """The Gaussian with these moments; one row has no covariance."""
        return Gaussian(self.mean, self.scatter / max(self.count - 1, 1))


def frechet(one: Gaussian, other: Gaussian) -> float:
    """|m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)), the squared Frechet distance.

    The last trace is the nuclear norm of A1' A2, where S = A A'. No root of a product that is only nearly
    singular is taken, so that fewer images than features do no harm to the digits.

    Source: Dowson & Landau 1982; Heusel et al. 2017 (1706.08500), Eq. 6.
    """
    shift = one.mean - other.mean
    cross = np.linalg.svd(root(one.cov).T @ root(other.cov), compute_uv=False).sum()
    return max(float(shift @ shift + np.trace(one.cov) + np.trace(other.cov) - 2 * cross), 0.0)


def root(cov: np.ndarray) -> np.ndarray:
    """A with A A' = cov, (n,rank); directions whose variance is below rounding are left out."""
    values, vectors = np.linalg.eigh(cov)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])
