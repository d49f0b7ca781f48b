"""What each of several processes does in the tests: run after run, in one process group.

    python rank_jobs.py '[{"recipe": ..., "overrides": [...], "folder": ..., "resume": ..., "stop": [rank, step]}, ...]'
"""

from __future__ import annotations

import json
import os
import signal
import sys

import torch

from zoo.recipe import load_recipe
from zoo.train.loop import train
from zoo.train.ranks import joined
from zoo.train.step import Objective, Update


def run(job: dict, rank: int) -> str:
    """One training, perhaps with a Ctrl-C or a lack of memory in one process."""
    update, compute = Update.__call__, Objective.__call__

    def interrupted(self, state, batch):
        if [rank, state.step + 1] == job.get("stop"):
            signal.raise_signal(signal.SIGINT)
        update(self, state, batch)

    def cramped(self, images, *rest, **options):
        if job.get("fits") and rank == 1 and len(images) > job["fits"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(self, images, *rest, **options)

    Update.__call__, Objective.__call__ = interrupted, cramped
    try:
        return train(load_recipe(job["recipe"], job["overrides"]), job["folder"], device="cpu",
                     resume=job.get("resume", False))  # fmt: skip
    finally:
        Update.__call__, Objective.__call__ = update, compute


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        for job in json.loads(sys.argv[1]):
            print(ranks.rank, run(job, int(os.environ["RANK"])), flush=True)
