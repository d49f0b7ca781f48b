"""What a weights file says about itself, read and checked without touching its tensors.

A safetensors file is: the header's size (8 bytes), the header (JSON: `__metadata__` and an entry a tensor),
the tensors' bytes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.errors import CheckpointError

FORMAT = "zoo-weights-1"
LARGEST_HEADER = 16 * 2**20
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
PICKLE_MAGIC = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
AGAIN = "copy or download it again"


@dataclass(frozen=True)
class Header:
    """The description of a weights file; `shapes` is name -> (type, shape)."""

    recipe_yaml: str
    card_json: str
    sha256: str
    shapes: dict[str, tuple[str, tuple[int, ...]]]

    @property
    def card(self) -> dict[str, Any]:
        """Free facts about the weights, for instance the step and the metrics."""
        return json.loads(self.card_json)


def read_header(path: str | Path) -> Header:
    """The header of a weights file.

    Raises: CheckpointError if the file is missing, truncated, foreign or a pickle.
    """
    where = str(path)
    entries = _entries(Path(path))
    metadata = entries.pop("__metadata__", {})
    recipe_yaml, card, sha256 = (metadata.get(key) for key in ("recipe", "card", "sha256"))
    if metadata.get("format") != FORMAT or not all(isinstance(text, str) for text in (recipe_yaml, card, sha256)):
        raise CheckpointError(f"not a weights file of zoo: its format is {metadata.get('format')!r}, not {FORMAT!r}",
                              where=where, fix="zoo-convert reads the published formats")
    _json_object(card, where)
    return Header(recipe_yaml, card, sha256, _shapes(entries, where))


def _entries(path: Path) -> dict[str, Any]:
    """The JSON header, after every check that needs no tensor."""
    where = str(path)
    if not path.is_file():
        raise CheckpointError("no such weights file", where=where)
    with path.open("rb") as file:
        first, total = file.read(8), path.stat().st_size
        size = int.from_bytes(first, "little")
        # an honest header's size may look like a pickle's first bytes, but a pickle's never like an honest size
        if path.suffix in PICKLES or (first.startswith(PICKLE_MAGIC) and size > LARGEST_HEADER):
            raise CheckpointError("this is a pickle, which can run code when it is read; it was not opened",
                                  where=where, fix="zoo-convert turns published checkpoints into safetensors")
        if len(first) < 8:
            raise CheckpointError(f"truncated weights file: {total} bytes", where=where, fix=AGAIN)
        if size > LARGEST_HEADER:
            raise CheckpointError(f"its header claims {size} bytes, the limit is {LARGEST_HEADER}", where=where,
                                  fix="this is not a safetensors file, or not an honest one")
        if 8 + size > total:
            raise CheckpointError(f"truncated weights file: {total} bytes", where=where, fix=AGAIN)
        entries = _json_object(file.read(size), where)
    _check_length(entries, total - 8 - size, where)
    return entries


def _shapes(entries: dict[str, Any], where: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    try:
        return {name: (str(entry["dtype"]), tuple(map(int, entry["shape"]))) for name, entry in entries.items()}
    except (KeyError, TypeError, ValueError, OverflowError):
        raise CheckpointError("damaged weights file: unreadable header", where=where, fix=AGAIN) from None


def _json_object(text: bytes | str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise CheckpointError("damaged weights file: unreadable header", where=where, fix=AGAIN)
    return found


def _check_length(entries: dict[str, Any], held: int, where: str) -> None:
    """The tensors must fill the rest of the file exactly."""
    try:
        needed = max((int(e["data_offsets"][1]) for name, e in entries.items() if name != "__metadata__"), default=0)
        entries.get("__metadata__", {}).keys()
    except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError):
        raise CheckpointError("damaged weights file: unreadable header", where=where, fix=AGAIN) from None
    if needed != held:
        kind = "truncated" if held < needed else "damaged"
        raise CheckpointError(f"{kind} weights file: {needed} bytes of tensors are declared, {held} are there",
                              where=where, fix=AGAIN)
