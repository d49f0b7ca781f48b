"""What each of several processes does in the tests: run after run, in one process group.

    python rank_jobs.py '[{"recipe": ..., "overrides": [...], "folder": ..., "resume": ..., "stop": [rank, step],
                           "full": [rank, saves], "graphs": true}, ...]' said.json
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import torch
from played import Played

from zoo.recipe import load_recipe
from zoo.train import exchange, parallel
from zoo.train.exchange import Exchange
from zoo.train.graphed import Graphed
from zoo.train.loop import train
from zoo.train.ranks import joined
from zoo.train.step import Objective, Update
from zoo.train.storage import Writer


def run(job: dict, rank: int) -> str:
    """One training, perhaps with a Ctrl-C, a lack of memory or a full disk in one process."""
    update, compute, write, wrote = Update.__call__, Objective.__call__, Writer.write_data, []
    make, capture, graphed = parallel.Parallel.__init__, Graphed.__init__, []

    def interrupted(self, state, batch):
        if [rank, state.step + 1] == job.get("stop"):
            signal.raise_signal(signal.SIGINT)
        update(self, state, batch)

    def cramped(self, images, *rest, **options):
        if job.get("fits") and rank == 1 and len(images) > job["fits"]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(self, images, *rest, **options)

    def refused(self, plan, planner):
        wrote.append(self.path)
        if [rank, len(wrote)] == job.get("full"):
            raise OSError(28, "No space left on device")
        return write(self, plan, planner)

    def afterwards(self, backbone, settings, ranks):
        make(self, backbone, settings, ranks)
        self.exchange = Exchange(parallel.from_the_end(backbone), ranks)

    def played(self, run, backbone, *rest):
        capture(self, run, backbone, *rest, Played(backbone.parameters()))
        graphed.append(self)

    exchange.LARGE, exchange.GROUP = 100, 1000  # so that gradients of both kinds and several groups are there
    Update.__call__, Objective.__call__, Writer.write_data = interrupted, cramped, refused
    if job.get("graphs"):
        parallel.Parallel.__init__, Graphed.__init__ = afterwards, played
    try:
        said = train(load_recipe(job["recipe"], job["overrides"]), job["folder"], device="cpu",
                     resume=job.get("resume", False))  # fmt: skip
        assert all(g.graphs for g in graphed), "nothing was captured"
        return said
    finally:
        Update.__call__, Objective.__call__, Writer.write_data = update, compute, write
        parallel.Parallel.__init__, Graphed.__init__ = make, capture


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined(torch.device("cpu")) as ranks:
        said = [run(job, ranks.rank) for job in json.loads(sys.argv[1])]
    if ranks.first:
        Path(sys.argv[2]).write_text(json.dumps(said))
