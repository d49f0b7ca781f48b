"""Which images a process draws: whole blocks of a batch each, dealt out in turn."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from zoo.errors import ZooError


@dataclass(frozen=True)
class Shard:
    """Process `index` of `count`; nobody has to know of the others."""

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def blocks(self, images: int, batch: int, missing: Collection[int]) -> list[range]:
        """The blocks of this process in which something is missing.

        Block k holds images k batch to (k + 1) batch - 1 and is drawn whole, so that with one batch size the
        bits are the same after any interruption and for any number of processes.
        """
        if batch < 1:
            raise ZooError(f"batch {batch}", where="sampling", fix="give at least 1")
        wanted = sorted({i // batch for i in missing})
        mine = [k for k in wanted if k % self.count == self.index]
        return [range(k * batch, min((k + 1) * batch, images)) for k in mine]


def parse_shard(text: str | None) -> Shard:
    """The shard of "I/N"; without a text that of torchrun, if it started us, else the whole.

    Raises: ZooError if the text is not that.
    """
    if text is None:
        rank, world = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
        return Shard(int(rank), int(world)) if rank and world else Shard()
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if not match or not int(match[1]) < int(match[2]):
        raise ZooError(f"shard {text!r}", where="--shard", fix="write I/N with I from 0 to N - 1, for instance 0/8")
    return Shard(int(match[1]), int(match[2]))


def rank_device(name: str) -> str:
    """"auto" is a GPU of its own for each process of torchrun; other names stay."""
    local = os.environ.get("LOCAL_RANK")
    if name != "auto" or local is None:
        return name
    import torch

    return f"cuda:{local}" if torch.cuda.is_available() else name
