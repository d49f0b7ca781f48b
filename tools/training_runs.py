"""Commands of the package in processes of their own, and what their run folders say; for the tools beside this file."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "docs/results"
Records = list[dict[str, Any]]


def zoo(command: str, *arguments: str, log: Path, term_after: float = 0.0, gpu: int = 0) -> str:
    """Run `zoo-COMMAND`, perhaps with SIGTERM after some seconds; returns what it said, which is also in `log`.

    Args:
        gpu: the one that it sees, of those that there are.

    Raises: RuntimeError if it fails.
    """
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    if seen := gpus():
        env["CUDA_VISIBLE_DEVICES"] = seen[gpu]
    print(f"zoo-{command} {' '.join(arguments)}", flush=True)
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-u", "-m", f"zoo.cli.{command}", *arguments], env=env, stdout=out,
                                   stderr=subprocess.STDOUT)  # fmt: skip
        try:
            process.wait(term_after or None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.wait(120)
        finally:
            process.kill()  # where this tool is ended, it leaves nothing behind
    said = log.read_text(errors="replace")
    print(said[-400:], flush=True)
    if process.returncode:
        raise RuntimeError(f"zoo-{command} ended with {process.returncode}: {said[-2000:]}")
    return said


def records(folder: Path) -> Records:
    """The metrics of a run."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def speed(found: Records) -> float:
    """Images a second once it is warm: the median."""
    return statistics.median(r["images_per_second"] for r in found if "images_per_second" in r)


def fill(page: Path, tool: str, text: str) -> None:
    """Put the section of a page that a tool writes between its marks. Raises: ValueError if the marks are not there."""
    begin, end = f"<!-- written by tools/{tool}.py -->\n", f"<!-- end of tools/{tool}.py -->"
    head, opened, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, tail = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"{page} has no place for tools/{tool}.py")
    page.write_text(f"{head}{begin}{text}\n{end}{tail}", encoding="utf-8")


def gpus() -> list[str]:
    """The GPUs that this process may use, by the names that CUDA_VISIBLE_DEVICES knows."""
    import torch

    given = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return (given or [str(i) for i in range(torch.cuda.device_count())])[: torch.cuda.device_count()]


def machine() -> dict[str, str]:
    """Where the figures come from."""
    import torch

    gpu = torch.cuda.is_available()
    return {"device": torch.cuda.get_device_name() if gpu else "CPU", "torch": torch.__version__}
