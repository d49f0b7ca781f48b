"""Figures of merit that can be compared: features, statistics, metrics, and the protocol behind each number.

Names are imported when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.eval.api import evaluate
    from zoo.eval.comparison import compare
    from zoo.eval.reference import Reference, build_reference
    from zoo.eval.result import Result
    from zoo.eval.sweep import sweep_over

_PLACES = {
    "evaluate": "zoo.eval.api",
    "compare": "zoo.eval.comparison",
    "Reference": "zoo.eval.reference",
    "build_reference": "zoo.eval.reference",
    "Result": "zoo.eval.result",
    "sweep_over": "zoo.eval.sweep",
}
__all__ = ["Reference", "Result", "build_reference", "compare", "evaluate", "sweep_over"]


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'zoo.eval' has no attribute {name!r}")
