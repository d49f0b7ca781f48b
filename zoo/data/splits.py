"""Which split a file belongs to, from what it or its folder is called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from zoo.data.pictures import held_out
from zoo.data.protocols import Split

NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test",
}  # fmt: skip


def split_word(name: str) -> str | None:
    """"train", "val" or "test" from names such as `train-00000-of-00005` or `validation`; None for others."""
    return NAMES.get(re.split(r"[^a-z]", name.lower(), maxsplit=1)[0])


def held_out_word(words: Iterable[str | None]) -> str | None:
    """What the held-out split is called among the words that were found: val before test; None if there is none."""
    found = set(words)
    return next((word for word in ("val", "test") if word in found), None)


def select(words: Sequence[str | None], names: Sequence[str], split: Split, holdout: float) -> list[int]:
    """Indices of one split.

    Args:
        words: of each sample; samples without one count as training samples.
        names: of each sample, for the share that is held out where the source has no split of its own.
        holdout: that share.
    """
    other = held_out_word(words)
    if other and not {None, "train"}.isdisjoint(words):
        kept = (other,) if split == "val" else (None, "train")
        return [i for i, word in enumerate(words) if word in kept]
    return [i for i, name in enumerate(names) if held_out(name, holdout) == (split == "val")]
