"""One clock, images seen: which image comes at position k, and what chance decides about it.

Everything is a function of (seed, k), found without looking at what came before: a run can start at
any image, with any number of workers or devices, and meets the same images in the same order.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np

MASK = 2**64 - 1
ROUNDS = 4
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def locate(positions: np.ndarray, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(epoch, index) of positions k: every epoch is another permutation of range(n).

    Args:
        positions: image numbers, from 0, int64 (B,).
        n: images in the data set.
    """
    epoch, place = np.divmod(np.atleast_1d(np.asarray(positions, dtype=np.int64)), n)
    return epoch, permuted(place, n, mixed(stream_key(seed, "order"), epoch.astype(np.uint64)))


def permuted(place: np.ndarray, n: int, key: np.ndarray) -> np.ndarray:
    """Where the keyed permutation of range(n) puts each place; `key` may differ from place to place.

    A Feistel network over rows x columns >= n cells, walked on from whatever lies outside
    (Black & Rogaway 2002, "Ciphers with Arbitrary Finite Domains").
    """
    rows = math.isqrt(n - 1) + 1
    columns = -(-n // rows)
    found = _feistel(place.astype(np.uint64), rows, columns, key)
    while (outside := found >= n).any():
        found[outside] = _feistel(found[outside], rows, columns, key[outside])
    return found.astype(np.int64)


def _feistel(cell: np.ndarray, rows: int, columns: int, key: np.ndarray) -> np.ndarray:
    row, column = cell // np.uint64(columns), cell % np.uint64(columns)
    for i in range(0, 2 * ROUNDS, 2):
        row = (row + (mixed(key + np.uint64(i), column) >> np.uint64(1))) % np.uint64(rows)
        column = (column + (mixed(key + np.uint64(i + 1), row) >> np.uint64(1))) % np.uint64(columns)
    return row * np.uint64(columns) + column


def chance(seed: int, stream: str, positions: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each position, float64; streams of different names are independent."""
    bits = mixed(stream_key(seed, stream), np.atleast_1d(np.asarray(positions)).astype(np.uint64))
    return (bits >> np.uint64(11)) * 2.0**-53


def rng(seed: int, stream: str, k: int) -> np.random.Generator:
    """A generator of its own for position k of a stream: 2**192 numbers that no other position shares."""
    digest = hashlib.sha256(f"{seed}:{stream}".encode()).digest()
    key, counter = np.frombuffer(digest[:16], dtype="<u8"), np.array([0, 0, 0, k & MASK], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def stream_key(seed: int, stream: str) -> np.ndarray:
    """64 bits from a seed of any size and a name, uint64 (1,)."""
    return np.frombuffer(hashlib.sha256(f"{seed}:{stream}".encode()).digest()[16:24], dtype="<u8")


def mixed(key: np.ndarray, value: np.ndarray | int) -> np.ndarray:
    """64 well mixed bits of each key and value, uint64 (B,) (splitmix64)."""
    z = key + (np.atleast_1d(np.asarray(value, dtype=np.uint64)) + np.uint64(1)) * GOLDEN
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
