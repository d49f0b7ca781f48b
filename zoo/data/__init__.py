"""Images and labels by number: sources, their order, and batches from any point on.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "Batch": "zoo.data.loader",
    "batches": "zoo.data.loader",
    "val_batches": "zoo.data.loader",
    "Dataset": "zoo.data.protocols",
    "Sample": "zoo.data.protocols",
    "decode": "zoo.data.decode",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'zoo.data' has no attribute {name!r}")
