"""A part inside a part: what arrives in a field `Make[Kind]` becomes the part itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isroutine
from typing import Any

from zoo.registry import find


def nested(kind: str, given: str | Callable[..., Any]) -> Any:
    """The part named or made by `given`: a name, a factory (class, function, partial), or the part itself."""
    if isinstance(given, str):
        return find(kind, given).load()()
    return given() if isinstance(given, (type, partial)) or isroutine(given) else given
