"""Numbers on a command line: 256..1536, 256..1536:128, 512,768, or several of these with commas."""

from __future__ import annotations

import re

from zoo.errors import ZooError


def numbers(text: str, step: int, where: str) -> list[int]:
    """The numbers that `text` names, sorted, each once.

    Args:
        step: of a range that names none.
        where: the option, for the message.

    Raises: ZooError if the text is not understood.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,7})(?:\.\.(\d{1,7})(?::(\d{1,7}))?)?", part.strip())
        if not match or int(match[1]) < 1 or match[3] == "0" or (match[2] and int(match[2]) < int(match[1])):
            raise ZooError(f"{part.strip()!r} is no number and no range", where=where,
                           fix="write for instance 256,512 or 256..1536 or 256..1536:128")
        first = int(match[1])
        found.update(range(first, int(match[2] or first) + 1, int(match[3] or step)))
    return sorted(found)
