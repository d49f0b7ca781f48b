"""A recipe as a tree whose every node knows where it was written and what it overrode."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from zoo.errors import RecipeError
from zoo.signature import Field


@dataclass(frozen=True, slots=True)
class Node:
    """One value of a recipe.

    Args:
        value: a scalar, a dict of nodes or a list of nodes.
        origin: "file:line", "command line" or "default of mixer mamba".
        before: the node that this one overrode.
        field: what the part declares about it, once checked.
    """

    value: Any
    origin: str
    before: Node | None = None
    field: Field | None = None

    def __getitem__(self, key: str) -> Node:
        return self.value[key]

    def holding(self, value: Any) -> Node:
        """The same node with another value."""
        return Node(value, self.origin, self.before, self.field)

    def children(self) -> Iterable[tuple[str, Node]]:
        """(key, node) of a mapping, (index, node) of a list, nothing of a scalar."""
        if isinstance(self.value, dict):
            return self.value.items()
        return ((str(i), n) for i, n in enumerate(self.value)) if isinstance(self.value, list) else ()


def plain(node: Node) -> Any:
    """The node as fresh dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def node_of(value: Any, origin: str) -> Node:
    """Plain data as nodes that all have the same origin."""
    if isinstance(value, Mapping):
        return Node({str(key): node_of(child, origin) for key, child in value.items()}, origin)
    if isinstance(value, (list, tuple)):
        return Node([node_of(child, origin) for child in value], origin)
    return Node(value, origin)


def walk(root: Node, key: str, where: str) -> Node:
    """The node at a dotted key, list elements by their index.

    Raises: RecipeError with the nearest key and those that there are.
    """
    node, path, rest = root, "", key
    while rest:
        children = dict(node.children())
        step = rest if rest in children else rest.partition(".")[0]
        if step not in children:
            inside = f" in {path!r}" if path else ""
            raise RecipeError(f"no key {step!r}{inside}", where=where, allowed=list(children), given=step)
        node, path, rest = children[step], join(path, step), rest[len(step) + 1 :]
    return node


def join(path: str, key: object) -> str:
    """A dotted key, one step longer."""
    return f"{path}.{key}" if path else str(key)
