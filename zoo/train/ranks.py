"""The processes of one run: who this one is, and how they agree. One process is the usual case and costs nothing."""

from __future__ import annotations

import gc
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from zoo.errors import ZooError

T = TypeVar("T")
PATIENCE = timedelta(minutes=60)
"""How long a process waits for another one, for instance while the first one writes a checkpoint or compiles."""

FAREWELL = 0.1
"""Seconds that gloo's threads, which FSDP leaves behind, have to let go of the last message: one that drops a tensor
while Python ends aborts the process (pytorch #190489)."""

COURTESY = 5.0
"""Seconds by which other processes tell a mistake later than the first one, which mostly has found it too: whoever
started them ends them meanwhile."""


@dataclass(frozen=True)
class Ranks:
    """This process among `size` processes that train one model; `device` is its own.

    Tensors on a GPU travel by NCCL, everything on the host by gloo: a flag never waits for a GPU.
    """

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """(rank, size)."""
        return self.rank, self.size

    def sum(self, value: Tensor) -> Tensor:
        """The sum over all processes, in place; on a GPU nobody waits for it."""
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def mean(self, values: Sequence[Tensor]) -> list[Any]:
        """Each becomes its mean over all processes, in place; -> messages under way, to `wait()` for."""
        if self.size == 1 or not values:
            return []
        divides = self.device.type == "cuda"  # as NCCL does, in passing, and gloo cannot
        if not divides:
            torch._foreach_div_(values, self.size)
        together = dist.AllreduceCoalescedOptions()
        together.reduceOp = dist.ReduceOp.AVG if divides else dist.ReduceOp.SUM
        return [dist.group.WORLD.allreduce_coalesced(list(values), together)]

    def any(self, flag: bool) -> bool:
        """Whether any process says so; all of them must ask."""
        return bool(self.sum(torch.tensor(float(flag)))) if self.size > 1 else flag

    def least(self, number: int) -> int:
        """The smallest of the processes' numbers."""
        if self.size == 1:
            return number
        value = torch.tensor(number)
        dist.all_reduce(value, dist.ReduceOp.MIN)
        return int(value)

    def on_first(self, action: Callable[[], T]) -> T:
        """What `action()` gives in the first process, to every process; it must be plain JSON.

        Raises: whatever it raises there, in the others as an OSError or a ZooError with the same text.
        """
        if self.size == 1:
            return action()
        try:
            answer: dict[str, Any] = {"value": action()} if self.first else {}
        except Exception as error:
            self._told({"error": str(error) or type(error).__name__, "disk": isinstance(error, OSError)})
            raise
        answer = self._told(answer)
        if "error" in answer:
            raise (OSError if answer["disk"] else ZooError)(answer["error"])
        return answer["value"]

    def texts(self, mine: str) -> list[str]:
        """What each process has to say; all of them must speak."""
        return [mine] if self.size == 1 else [self._told(mine, source) for source in range(self.size)]

    def _told(self, answer: Any, source: int = 0) -> Any:
        """The answer of one process, for everybody."""
        text = torch.frombuffer(bytearray(json.dumps(answer).encode()), dtype=torch.uint8)
        length = torch.tensor(len(text))
        dist.broadcast(length, source)
        text = text if self.rank == source else torch.empty(int(length), dtype=torch.uint8)
        dist.broadcast(text, source)
        return json.loads(text.numpy().tobytes())


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes that torchrun, SLURM or `zoo-train --gpus` started; a process group while it is open.

    A process group that is there already is used and left alone.

    Raises: ZooError if this machine has fewer GPUs than processes.
    """
    env = environment(os.environ)
    if env is None:
        yield Ranks(device)
        return
    ranks = Ranks(own(device, int(env["LOCAL_RANK"])), int(env["RANK"]), int(env["WORLD_SIZE"]))
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if dist.is_initialized():
        yield ranks
        return
    os.environ.update(env)
    dist.init_process_group("cpu:gloo,cuda:nccl" if ranks.device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield ranks
        ranks.any(False)  # nobody leaves while others still need an answer
    except (ZooError, OSError):
        if not ranks.first:
            time.sleep(COURTESY)
        raise
    finally:
        gc.collect()  # DDP's wrapper holds the group, and with it gloo's threads
        dist.destroy_process_group()
        time.sleep(FAREWELL)


def environment(env: Mapping[str, str]) -> dict[str, str] | None:
    """RANK, WORLD_SIZE, both LOCAL_, MASTER_ADDR and MASTER_PORT as torchrun or srun say them; None for one process."""
    if int(env.get("WORLD_SIZE", "1")) > 1 and "RANK" in env:
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        local = env.get("LOCAL_WORLD_SIZE", env["WORLD_SIZE"])
        return {name: env[name] for name in names} | {"LOCAL_WORLD_SIZE": local}
    if int(env.get("SLURM_STEP_NUM_TASKS", "1")) > 1 and "SLURM_PROCID" in env:
        port = 20000 + int(env.get("SLURM_JOB_ID", "0")) % 20000
        most = -(-int(env["SLURM_STEP_NUM_TASKS"]) // int(env.get("SLURM_STEP_NUM_NODES", "1")))
        return {
            "LOCAL_WORLD_SIZE": str(most),
            "RANK": env["SLURM_PROCID"], "LOCAL_RANK": env["SLURM_LOCALID"], "WORLD_SIZE": env["SLURM_STEP_NUM_TASKS"],
            "MASTER_ADDR": env.get("MASTER_ADDR") or first_host(env["SLURM_STEP_NODELIST"]),
            "MASTER_PORT": env.get("MASTER_PORT") or str(port),
        }  # fmt: skip
    return None


def first_host(nodes: str) -> str:
    """The first host of a SLURM node list: "gpu[003-007,9],login" -> "gpu003"."""
    prefix, number = re.match(r"([^\[,]+)(?:\[(\w+))?", nodes).groups(default="")  # type: ignore[union-attr]
    return prefix + number


def own(device: torch.device, local: int) -> torch.device:
    """The device of one of the processes on a machine."""
    if device.type != "cuda":
        return device
    if (there := torch.cuda.device_count()) == 1:  # for instance srun --gpus-per-task=1
        return torch.device("cuda", 0)
    if local >= there:
        raise ZooError(f"process {local} has no GPU of its own: this machine shows {there}",
                       fix=f"start {there} processes a machine, or look at CUDA_VISIBLE_DEVICES")
    return torch.device("cuda", local)

