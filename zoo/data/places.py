"""Where data live on this machine, and how a known file gets there."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from zoo.errors import DataError

_fetching = ContextVar("fetching", default=True)


@contextmanager
def without_fetching() -> Iterator[None]:
    """Within it `fetch` says what it would have fetched, as a DataError."""
    token = _fetching.set(False)
    try:
        yield
    finally:
        _fetching.reset(token)


def data_folder() -> Path:
    """`$ZOO_DATA`, or `zoo` in the user's cache."""
    given = os.environ.get("ZOO_DATA")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "zoo"


def fetch(url: str, target: Path, md5: str, otherwise: str) -> Path:
    """A published file at `target`: what is there already, or a download whose checksum is right.

    Args:
        otherwise: what a user without a network can do instead.

    Raises: DataError if there is neither, or the bytes are not the published ones.
    """
    if target.is_file():
        return checked(target, md5)
    if not _fetching.get():
        raise DataError(f"to be fetched from {url} on first use", fix=f"without a network: {otherwise}")
    aside = target.with_name(f"{target.name}.part-{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _download(url, aside)
        os.replace(checked(aside, md5), target)
    except OSError as error:
        raise DataError(f"cannot fetch {url}: {error}", fix=otherwise) from error
    finally:
        aside.unlink(missing_ok=True)
    return target


def checked(path: Path, md5: str) -> Path:
    """The path, if its bytes have this checksum."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() != md5:
        raise DataError("this is not the published file: its checksum differs", where=str(path),
                        fix=f"the md5 should be {md5}; delete it and try again")
    return path


def _download(url: str, target: Path) -> None:
    from rich.progress import wrap_file

    with urllib.request.urlopen(url, timeout=30) as answer, target.open("wb") as out:
        size = int(answer.headers.get("Content-Length") or 0)
        with wrap_file(answer, size, description=f"fetching {target.name.partition('.part-')[0]}") as source:
            while piece := source.read(1 << 18):
                out.write(piece)
