"""One process a GPU, started from here; they share nothing but the place where samples go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from zoo.errors import ZooError
from zoo.sampling.form import Stills
from zoo.sampling.progress import Progress
from zoo.sampling.target import target

LOOK = 0.5
"""Seconds between looks at the processes."""
COMMAND = "zoo.cli.sample"


def run_ranks(arguments: Sequence[str], count: int, images: int, out: Path, device: str = "auto") -> str:
    """Run zoo-sample with these arguments in `count` processes, each on its own GPU and with its own blocks.

    Args:
        device: "cpu" starts them all on the CPU.

    Raises: ZooError with the message of the first process that fails; the others are stopped. What was drawn
        stays, and the same command goes on from there.
    """
    devices = pick_devices(count, device)
    into = target(out, Stills())  # to count, which is the same for videos
    before = into.count(images)
    ranks: list[Rank] = []
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that `finally` is reached
    try:
        with Progress(images, before) as progress:
            ranks += [Rank(arguments, i, count, place) for i, place in enumerate(devices)]
            while any(rank.process.poll() is None for rank in ranks):
                _complain(ranks)
                progress.reach(into.count(images))
                time.sleep(LOOK)
        _complain(ranks)
    finally:
        for rank in ranks:
            rank.stop()
    if (there := into.count(images)) < images:
        raise ZooError(f"{there} of {images} samples are there", where=str(out), fix="run the command again")
    return f"{images} samples in {out}, {images - before} new, by {count} processes"


def pick_devices(count: int, device: str) -> list[str]:
    """A device for each process. Raises: ZooError if there are not so many."""
    if count < 1:
        raise ZooError(f"--gpus {count}", fix="give at least 1")
    if device == "cpu":
        return ["cpu"] * count
    import torch

    there = torch.cuda.device_count()
    if device not in ("auto", "cuda") or there < count:
        raise ZooError(f"--gpus {count} with --device {device}, and {there} GPUs here", where="--gpus",
                       fix="give as many as there are, or --device cpu for processes on the CPU")  # fmt: skip
    return [f"cuda:{i}" for i in range(count)]


class Rank:
    """A running zoo-sample with a share of the blocks."""

    def __init__(self, arguments: Sequence[str], index: int, count: int, device: str):
        self.index, self.said = index, tempfile.TemporaryFile()  # noqa: SIM115 (open as long as the process)
        more = ["--gpus", "1", "--shard", f"{index}/{count}", "--device", device]
        self.process = subprocess.Popen([sys.executable, "-m", COMMAND, *arguments, *more], env=_surroundings(count),
                                        stdout=subprocess.DEVNULL, stderr=self.said)  # fmt: skip

    @property
    def failed(self) -> bool:
        return self.process.poll() not in (None, 0)

    def message(self) -> str:
        """What it complained about."""
        return _text(self.said).replace("error: ", "") or f"process {self.index} ended with {self.process.poll()}"

    def stop(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.said.close()


def _complain(ranks: Sequence[Rank]) -> None:
    for rank in ranks:
        if rank.failed:
            raise ZooError(rank.message())


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace").strip()


def _surroundings(count: int) -> dict[str, str]:
    """The environment of a process; CPU threads are shared out unless somebody has done so."""
    threads = str(max(1, (os.cpu_count() or 1) // count))
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return {"OMP_NUM_THREADS": threads, **kept}
