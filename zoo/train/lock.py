"""One trainer a run folder."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from zoo.errors import ZooError

SETTLED = 0.5
"""Seconds after which nobody still believes that the lock of a dead process is there to be taken."""


class Lock:
    """`run.lock` in a folder, with the process that holds it; that of a dead process is taken over.

    Raises: ZooError on entry if another trainer works here.
    """

    def __init__(self, folder: Path):
        self.path = folder / "run.lock"
        self.mine = {"pid": os.getpid(), "host": socket.gethostname()}

    def __enter__(self) -> Lock:
        aside = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        aside.write_text(json.dumps(self.mine))
        try:
            os.link(aside, self.path)  # whole or not at all: nobody meets an empty one
        except FileExistsError:
            self._refuse_held()
            os.replace(aside, self.path)
            time.sleep(SETTLED)  # of those who take over the same one, the last keeps it
            self._refuse_held()
        finally:
            aside.unlink(missing_ok=True)
        return self

    def _refuse_held(self) -> None:
        if held := self._held():
            raise ZooError(held, where=str(self.path.parent), fix="wait for it, give another --out, or, "
                           f"if that trainer is gone, delete {self.path}")  # fmt: skip

    def __exit__(self, *exception: object) -> None:
        self.path.unlink(missing_ok=True)

    def _held(self) -> str:
        """Who trains here, or an empty text for a dead process of this machine."""
        try:
            owner = json.loads(self.path.read_text())
            pid, host = int(owner["pid"]), owner["host"]
        except (OSError, ValueError, KeyError, TypeError):
            return ""
        if host != self.mine["host"]:
            return f"process {pid} on {host} trains here"
        return f"process {pid} trains here" if pid != self.mine["pid"] and _alive(pid) else ""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
