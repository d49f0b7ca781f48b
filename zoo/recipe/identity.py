"""When two recipes are the same, and where they differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

BESIDE_THE_POINT = ("title", "about", "cite", "published", "presets", "ablate", "provenance", "plugins", "eval")
"""Sections that change no result; plug-ins count through the parts that are used, `eval` only looks on."""


def canonical(tree: dict[str, Any]) -> str:
    """The text that is hashed: sorted JSON of everything that may change results."""
    kept = {key: value for key, value in tree.items() if key not in BESIDE_THE_POINT}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"))


def digest(tree: dict[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(tree).encode()).hexdigest()


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted key, our value, their value) wherever resolved trees differ; None where one has nothing.

    Another part in a slot is one difference, not one for each of its fields.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.get("use") == theirs.get("use"):
        for key in {**ours, **theirs}:
            if path or key not in BESIDE_THE_POINT:
                yield from differences(ours.get(key), theirs.get(key), f"{path}.{key}" if path else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, pair in enumerate(zip(ours, theirs)):
            yield from differences(*pair, f"{path}.{i}")
    elif ours != theirs or ours.__class__ is not theirs.__class__:
        yield path, ours, theirs
