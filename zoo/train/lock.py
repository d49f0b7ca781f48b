"""One trainer a run folder."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from zoo.errors import ZooError


class Lock:
    """`run.lock` in a folder, with the process that holds it; that of a dead process is taken over.

    Raises: ZooError on entry if another trainer works here.
    """

    def __init__(self, folder: Path):
        self.path = folder / "run.lock"
        self.mine = {"pid": os.getpid(), "host": socket.gethostname()}

    def __enter__(self) -> Lock:
        try:
            self._create()
        except FileExistsError:
            if self._held():
                raise ZooError(self._held(), where=str(self.path.parent), fix=f"wait for it, give another --out, or, "
                               f"if that trainer is gone, delete {self.path}") from None  # fmt: skip
            self.path.unlink(missing_ok=True)
            self._create()
        return self

    def __exit__(self, *exception: object) -> None:
        self.path.unlink(missing_ok=True)

    def _create(self) -> None:
        handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        with os.fdopen(handle, "w") as file:
            json.dump(self.mine, file)

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
