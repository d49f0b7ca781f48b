"""A zip of images, read in place: nothing is ever extracted, and suspicious archives are refused whole."""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

from zoo.errors import DataError

MEMBER_LIMIT = 256 << 20
RATIO_LIMIT, RATIO_FREE = 200, 1 << 20


class Archive:
    """`names` of its files and `read(name)`; threads and processes each have what they need.

    Raises: DataError if it is not a zip, or holds what an honest archive of images does not.
    """

    def __init__(self, path: Path):
        self.path = path
        self._handles: dict[int, zipfile.ZipFile] = {}
        members = [m for m in self._zip().infolist() if not m.is_dir()]
        check_members(members, path)
        self.names = [m.filename for m in members]

    def read(self, name: str) -> bytes:
        """The bytes of one file."""
        try:
            return self._zip().read(name)
        except (zipfile.BadZipFile, KeyError, OSError, RuntimeError, NotImplementedError, EOFError) as error:
            raise DataError(f"cannot be read: {error}", where=f"{self.path}/{name}") from error

    def _zip(self) -> zipfile.ZipFile:
        """This process's own handle: one that was open before a fork would share its place in the file."""
        handle = self._handles.get(os.getpid())
        if handle is None:
            try:
                handle = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise DataError(f"not a readable zip archive: {error}", where=str(self.path)) from error
            self._handles = {os.getpid(): handle}
        return handle

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handles": {}}


def check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    """Refuse names that lead elsewhere, links and devices, two files of one name, and bombs."""
    seen: dict[str, str] = {}
    for member in members:
        problem = _name_problem(member) or _content_problem(member)
        folded = unicodedata.normalize("NFKC", member.filename).casefold()
        if not problem and folded in seen:
            problem = f"would be the same file as {seen[folded]!r} on some systems"
        if problem:
            raise DataError(f"{member.filename!r} {problem}", where=str(path), fix="make the archive anew")
        seen[folded] = member.filename


def _name_problem(member: zipfile.ZipInfo) -> str | None:
    name = member.orig_filename
    if "\0" in name or "\\" in name or ":" in name.split("/")[0]:
        return "has a name that some systems read as another place"
    if name.startswith("/") or ".." in PurePosixPath(unicodedata.normalize("NFKC", name)).parts:
        return "leads out of the archive"
    return None


def _content_problem(member: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.create_system == 3 and kind not in (0, stat.S_IFREG):
        return "is a link or a device"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.file_size > MEMBER_LIMIT:
        return f"unpacks to {member.file_size:,} bytes; at most {MEMBER_LIMIT:,} are allowed"
    if member.file_size > max(RATIO_FREE, RATIO_LIMIT * member.compress_size):
        return f"unpacks to more than {RATIO_LIMIT} times its size"
    return None
