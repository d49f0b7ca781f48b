"""Laying one recipe over another.

Mappings merge, everything else replaces. A part that gets another `use` starts afresh. A word under a
mapping counts as {use: word}. A mapping of indices over a list patches its elements.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from zoo.errors import RecipeError
from zoo.recipe.node import Node, node_of
from zoo.recipe.yaml import parse_value


def merge(base: Node, patch: Node) -> Node:
    """`patch` laid over `base`; what it overrides stays reachable as `before`."""
    if not isinstance(patch.value, dict):
        return replace(patch, before=base)
    if isinstance(base.value, list) and is_element_patch(patch):
        return _merge_elements(base, patch)
    if isinstance(base.value, str):
        base = Node({"use": base}, base.origin, base.before)
    if not isinstance(base.value, dict):
        return replace(patch, before=base)
    return _merge_mappings(base, patch)


def _merge_mappings(base: Node, patch: Node) -> Node:
    merged = dict(base.value)
    if (use := patch.value.get("use")) and "use" in merged and merged["use"].value != use.value:
        # afresh; but in `data.path=/x data.use=parquet` the path was meant for the new part
        merged = {k: v for k, v in merged.items() if k == "use" or v.origin == use.origin}
    for key, node in patch.value.items():
        merged[key] = merge(merged[key], node) if key in merged else node
    return Node(merged, base.origin, base.before)


def _merge_elements(base: Node, patch: Node) -> Node:
    merged = list(base.value)
    for key, node in patch.value.items():
        if int(key) >= len(merged):
            raise RecipeError(f"no element {key} in a list of {len(merged)}", where=node.origin)
        merged[int(key)] = merge(merged[int(key)], node)
    return Node(merged, base.origin, base.before)


def is_element_patch(node: Node) -> bool:
    """Whether a node is a mapping of list indices."""
    keys = node.value if isinstance(node.value, dict) else ()
    return bool(keys) and all(key.isascii() and key.isdecimal() and len(key) < 6 for key in keys)


def patches(overrides: Sequence[str] | Mapping[str, Any], origin: str) -> Iterator[tuple[str, Node]]:
    """(dotted key, patch of the whole tree) of every override, in order.

    Args:
        overrides: "dotted.key=value" with a YAML value, or {dotted key: value or node}.
        origin: what explanations name as the source.

    Raises: RecipeError if an override is malformed.
    """
    if isinstance(overrides, str):
        raise RecipeError("overrides are a list of key=value", where=origin, fix=f"write [{overrides!r}]")
    if isinstance(overrides, Mapping):
        pairs = [(k, v if isinstance(v, Node) else node_of(v, origin)) for k, v in overrides.items()]
    else:
        pairs = [_split(text, origin) for text in overrides]
    for key, node in pairs:
        yield key, nest(key, node)


def nest(key: str, node: Node) -> Node:
    """A tree that holds only `node`, at a dotted key."""
    steps = key.split(".")
    if not all(step.strip() for step in steps) or len(steps) > 32:
        raise RecipeError(f"{key!r} is not a dotted key", where=node.origin, fix="write for instance train.batch=64")
    for step in reversed(steps):
        node = Node({step: node}, node.origin)
    return node


def _split(text: str, origin: str) -> tuple[str, Node]:
    key, equals, value = str(text).partition("=")
    if not equals:
        raise RecipeError(f"{text!r} is not key=value", where=origin, fix="write for instance train.batch=64")
    return key.strip(), parse_value(value, origin)
