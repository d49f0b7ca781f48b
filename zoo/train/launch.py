"""`zoo-train --gpus N`: one process a GPU of this machine, started and watched by torch's own launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.train.ranks import environment

PERIOD = 0.1
"""Seconds between two looks at the processes."""
HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1)


def launch(module: str, argv: Sequence[str], count: int) -> int:
    """Run `python -m module argv` in `count` processes that know each other; returns the exit code.

    The first one speaks. Ctrl-C and SIGTERM are handed on once; they stop together. If one fails, the
    others are ended, and what it said is shown.
    """
    import torch.distributed as dist
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std, start_processes

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # what failed is said below
    os.environ["TORCHELASTIC_SIGNALS_TO_HANDLE"] = ",".join(number.name for number in HEARD)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    envs = {rank: environment_of(rank, count, store.port) for rank in range(count)}
    with _own_handlers(), tempfile.TemporaryDirectory(prefix="zoo-train-") as logs:
        silent = {rank: Std.ALL for rank in range(1, count)}
        context = start_processes(
            name=module, entrypoint=sys.executable, args={rank: ("-u", "-m", module, *argv) for rank in range(count)},
            envs=envs, logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=silent),  # type: ignore[arg-type]
        )  # fmt: skip
        hearing = True
        try:
            while True:
                try:
                    if result := context.wait(PERIOD, PERIOD):
                        break
                except SignalException as heard:
                    _hand_on(context.pids().values(), heard.sigval if hearing else signal.SIGKILL)
                    hearing = False
        finally:
            context.close(signal.SIGTERM)
        if not result.is_failed():
            return 0
        cause = min(result.failures.values(), key=_blame)
        if cause.local_rank:
            said = Path(result.stderrs[cause.local_rank]).read_text(errors="replace").strip()
            print(f"process {cause.local_rank} of {count} failed:\n{said[-4000:]}", file=sys.stderr)
        return cause.exitcode if cause.exitcode > 0 else 128 - cause.exitcode


def environment_of(rank: int, count: int, port: int) -> dict[str, str]:
    """What a process must know; the store is this one's, as under torchrun."""
    return {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }  # fmt: skip


def gpus(count: int, device: str) -> int:
    """The number of processes to start for `--gpus`; -1 asks for all GPUs. 1, none, in a process that was started so.

    Raises: ZooError if there are not so many.
    """
    import torch

    if count == 1 or environment(os.environ) is not None:
        return 1
    if count == 0 or count < -1:
        raise ZooError(f"--gpus {count}", where="command line", allowed="1 or more, or -1 for all there are")
    if device.startswith("cpu"):
        return max(count, 1)
    there = torch.cuda.device_count()
    if count > there:
        raise ZooError(f"--gpus {count}: this machine shows {there}", where="zoo-train",
                       fix="look at CUDA_VISIBLE_DEVICES, or --device cpu for processes without GPUs")
    return count if count > 0 else max(there, 1)


def _blame(failure: Any) -> tuple:
    """Least for what most likely failed first: a mistake of ours (2), then a crash, then those that were ended."""
    known = failure.exitcode == 2
    return not known, failure.exitcode < 0, failure.local_rank if known else failure.timestamp


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Torch's launcher installs handlers of signals; afterwards those from before are back."""
    before = {number: signal.getsignal(number) for number in HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hand_on(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
