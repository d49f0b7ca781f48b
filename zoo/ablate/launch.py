"""Tasks over devices: one after the other here, or one process a device where there are several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from zoo.ablate.task import Unfinished, run_task, write_json
from zoo.errors import ZooError
from zoo.sampling.api import pick_device

Task = dict[str, Any]
Say = Callable[[str], None]


def devices_of(name: str) -> list[str]:
    """The devices that rows are spread over: those named, or every GPU there is."""
    if name != "auto":
        return [part.strip() for part in name.split(",")]
    import torch

    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] or [pick_device(name).type]


def run_all(study: Path, tasks: Sequence[Task], devices: Sequence[str], say: Say) -> list[str]:
    """Work through the tasks; returns what failed, a line each.

    Raises: Unfinished when asked to stop: what runs is saved, and nothing new begins.
    """
    if len(devices) > 1 and len(tasks) > 1:
        return _spread(study, tasks, devices, say)
    failures = []
    for task in tasks:
        try:
            run_task(study, task, devices[0])
        except ZooError as error:
            failures.append(f"{task['name']}: {error}")
            say(f"FAILED {failures[-1]}")
    return failures


def _spread(study: Path, tasks: Sequence[Task], devices: Sequence[str], say: Say) -> list[str]:
    waiting, free, failures = list(tasks), list(range(len(devices))), []
    running: dict[int, tuple[Task, subprocess.Popen, Path]] = {}
    with _terminable():
        try:
            while waiting or running:
                while waiting and free:
                    task, place = waiting.pop(0), free.pop(0)
                    running[place] = (task, *_start(study, task, devices[place]))
                    say(f"{task['name']} starts on {devices[place]}, see {running[place][2]}")
                time.sleep(0.2)
                for place, (task, process, log) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[place]
                    free.append(place)
                    failures += _outcome(task, process.returncode, log, say)
        except KeyboardInterrupt:
            for _, process, _ in running.values():
                process.send_signal(signal.SIGINT)
            for _, process, _ in running.values():
                process.wait()
            raise Unfinished from None
    return failures


def _start(study: Path, task: Task, device: str) -> tuple[subprocess.Popen, Path]:
    """A process of its own session, which hears of Ctrl-C from here and once."""
    file, log = study / "tasks" / f"{task['key']}.json", study / "tasks" / f"{task['key']}.log"
    write_json(file, task)
    environment, name = dict(os.environ), device
    if device.startswith("cuda:"):
        visible = environment.get("CUDA_VISIBLE_DEVICES", "").split(",")
        index = int(device[5:])
        environment["CUDA_VISIBLE_DEVICES"] = visible[index] if visible != [""] else str(index)
        name = "cuda"
    command = [sys.executable, "-m", "zoo.cli.ablate", "--task", str(file), "--device", name]
    with log.open("ab") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environment, start_new_session=True), log


def _outcome(task: Task, code: int, log: Path, say: Say) -> list[str]:
    if code == 0:
        say(f"{task['name']} is done")
        return []
    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no message"]
    line = f"{task['name']}: {last[0].removeprefix('error: ')} (exit code {code}, see {log})"
    say(f"FAILED {line}")
    return [line]


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM counts as Ctrl-C."""
    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
