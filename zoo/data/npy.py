"""`.npy` files of features. Those that hold an array and its label are pickles: they are read, never run."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from zoo.errors import DataError

LIMIT = 64 << 20


def read_npy(path: Path) -> tuple[np.ndarray, int | None]:
    """The array in a file, and the label that stands beside it, if one does.

    Raises: DataError if the file is missing, damaged or holds anything else.
    """
    try:
        if path.stat().st_size > LIMIT:
            raise DataError(f"larger than {LIMIT:,} bytes", where=str(path))
        with path.open("rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            if read(file)[2].hasobject:
                return pair(file.read(), str(path))
        return np.squeeze(np.load(path, allow_pickle=False)), None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"not a readable .npy file ({error})", where=str(path)) from None


def pair(pickled: bytes, where: str) -> tuple[np.ndarray, int]:
    """(array, label) of a pickled `numpy.array((array, label), dtype=object)`.

    The list of its instructions is looked through for their constants; none of them is carried out.
    """
    try:
        steps = list(constants(pickled))
    except ValueError as error:
        raise DataError(f"not a readable .npy file ({error})", where=where) from None
    kinds = [v for v in steps if isinstance(v, str) and v[:1] in "fiu" and v[1:].isdigit()]
    stored = [v for v in steps if isinstance(v, bytes) and len(v) > 1]
    shape = next((v for v in steps if isinstance(v, tuple)), None)
    numbers = [v for v in steps if type(v) is int]
    if not (kinds and stored and shape and (numbers if len(stored) == 1 else len(kinds) > 1)):
        raise DataError("holds no array with its label", where=where)
    values = np.frombuffer(stored[0], f"<{kinds[0]}")
    if values.size != np.prod(shape):
        raise DataError(f"{values.size} numbers do not make an array of {shape}", where=where)
    label = numbers[-1] if len(stored) == 1 else int(np.frombuffer(stored[1], f"<{kinds[1]}")[0])
    return values.reshape(shape), label


def constants(pickled: bytes) -> Iterator[Any]:
    """Strings, bytes and integers of a pickle, and tuples of three integers, in their order."""
    numbers: list[int] = []  # that stand directly before
    for code, value, _ in pickletools.genops(pickled):
        if code.name == "TUPLE3" and len(numbers) >= 3:
            yield tuple(numbers[-3:])
        if isinstance(value, int) and code.name.startswith(("BININT", "LONG1", "INT")):
            numbers.append(value)
            yield value
        elif code.name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
            numbers = []
            if isinstance(value, (str, bytes)):
                yield value
