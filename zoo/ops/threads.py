"""Our own split of a kernel's work over threads: numba's thread layers do not survive a fork, or are not installed."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def run(kernel: Callable[..., None], units: int, *args: object) -> None:
    """Call `kernel(*args, begin, end)` over parts of range(units), on as many threads as torch uses.

    The kernel must give up the GIL, and a unit must write only what no other unit touches: results then do not depend
    on the number of threads.
    """
    threads = min(torch.get_num_threads(), units)
    if threads <= 1:
        kernel(*args, 0, units)
        return
    # a few parts a thread, so that a thread that was held up does not hold up all
    parts = min(units, 4 * threads)
    bounds = [units * i // parts for i in range(parts + 1)]
    pool = _pool(os.getpid(), threads)
    for future in [pool.submit(kernel, *args, b, e) for b, e in itertools.pairwise(bounds)]:
        future.result()


@functools.cache  # by process: after a fork the parent's threads do not exist
def _pool(pid: int, threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="zoo-ops")
