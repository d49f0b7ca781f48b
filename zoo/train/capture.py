"""Capturing work as CUDA graphs: with memory of their own, from a stream of their own, and what forbids it.

Source: PyTorch's notes on CUDA graphs.
"""

from __future__ import annotations

import gc
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

Replay = Callable[[], None]
WAITS = "called a synchronizing CUDA operation"
"""What torch says of it in its synchronisation debug mode."""

EXTERNAL = "external" in inspect.signature(torch.cuda.Event.__new__).parameters
"""Whether this torch has events in graphs for what is outside (from 2.8 on)."""


class Recorder:
    """Captures calls as CUDA graphs, which share memory and are replayed in the order of their capture."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)
        self.reset()

    def reset(self) -> None:
        """The next graph starts with memory of its own."""
        self.pool: Any = None
        self.live = self.highest = 0

    @property
    def uncounted(self) -> int:
        """Bytes that a replay uses and torch.cuda.memory_allocated does not show."""
        return self.highest - self.live

    def crowded(self) -> bool:
        """Whether less memory is left beside the graphs than they have."""
        cached = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device) - self.uncounted
        return torch.cuda.mem_get_info(self.device)[0] + cached < self.highest

    @contextmanager
    def warming(self) -> Iterator[list[str]]:
        """Ordinary work on the stream of captures; receives what in it would not survive one."""
        found: list[str] = []
        usual, mode = torch.cuda.current_stream(self.device), torch.cuda.get_sync_debug_mode()
        chance = torch.cuda.get_rng_state(self.device)
        self.stream.wait_stream(usual)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode(max(mode, 1))
            try:
                with torch.cuda.stream(self.stream):
                    yield found
            finally:
                torch.cuda.set_sync_debug_mode(mode)
                usual.wait_stream(self.stream)
        for w in caught:
            if WAITS in str(w.message):
                found.append(f"{Path(w.filename).name}, line {w.lineno}, waits for the GPU")
            elif "Synchronization debug mode" not in str(w.message):
                warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
        if not torch.equal(chance, torch.cuda.get_rng_state(self.device)):
            found.append("the network draws random numbers")

    def record(self, run: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        """Captures `run()`, which is not carried out; -> what carries it out, and where its result will be."""
        gc.collect()  # of the updates before; a graph cannot have what they hold
        graph, self.pool = torch.cuda.CUDAGraph(), self.pool or torch.cuda.graph_pool_handle()
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        capture = torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local")
        try:
            with torch.cuda.stream(self.stream), capture:  # the first one leaves the stream even if a capture fails
                result = run()
        except BaseException:
            with suppress(RuntimeError):
                self._abandon()
            raise
        self.highest = max(self.highest, self.live + torch.cuda.max_memory_allocated(self.device) - before)
        self.live += torch.cuda.memory_allocated(self.device) - before
        return graph.replay, result

    def mark(self) -> Any:
        """An event at this place of the graph that is being captured, for others to wait for; None if none can be."""
        if not (EXTERNAL and torch.cuda.is_current_stream_capturing()):
            return None
        event = torch.cuda.Event(external=True)
        event.record()
        return event

    def _abandon(self) -> None:
        """Closes what torch leaves open when CUDA refuses to end a capture; RuntimeError if there is nothing to close.

        Else no memory would go back to the GPU any more, and chance would wait for a replay (pytorch #180395, #190348).
        """
        device = self.stream.device_index
        torch._C._cuda_endAllocateToPool(device, self.pool)
        torch._C._cuda_releasePool(device, self.pool)
        chance = torch.cuda.default_generators[device]
        chance.graphsafe_set_state(chance.clone_state())
