"""Balls around feature vectors, each as wide as the way to its k-th neighbour; and who lies in whose.

All in float64, a block of rows at a time. Legend: N real, M generated images.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo.errors import ZooError

BLOCK_BYTES = 1 << 28


def radii(rows: Tensor, k: int) -> Tensor:
    """(N,) distance of each row to its k-th nearest other row."""
    if len(rows) <= k:
        raise ZooError(f"{len(rows)} images have no {k} neighbours each", where="evaluation", fix="take more images")
    return torch.cat([block.kthvalue(k + 1).values for block in distances(rows, rows)])


def distances(rows: Tensor, others: Tensor) -> Iterator[Tensor]:
    """Blocks of the matrix of Euclidean distances, in the order of `rows`."""
    for block in rows.split(max(1, BLOCK_BYTES // (8 * len(others)))):
        yield torch.cdist(block, others)


def covered(points: Tensor, centres: Tensor, radius: Tensor) -> Tensor:
    """(points,) in how many balls around `centres` each point lies."""
    return torch.cat([(block <= radius).sum(1) for block in distances(points, centres)])
