"""Where a value of a recipe comes from, in words."""

from __future__ import annotations

from collections.abc import Iterator

from zoo.recipe.node import Node, plain
from zoo.recipe.yaml import inline


def explain(key: str, node: Node) -> str:
    """A few lines: the value, where it was set, what it overrode, its type, default and meaning."""
    lines = [f"{key}: {brief(node)}", f"  set by    {node.origin}"]
    lines += [f"  overrode  {brief(old)} of {old.origin.removeprefix('default of ')}" for old in history(node)]
    if node.field is not None:
        lines.append(f"  type      {node.field.type}")
        lines.append("  required" if node.field.required else f"  default   {brief(node.field.default)}")
        lines += [f"  meaning   {node.field.doc}"] if node.field.doc else []
    return "\n".join(lines)


def history(node: Node) -> Iterator[Node]:
    """What the node overrode, the latest first."""
    while node.before is not None:
        node = node.before
        yield node


def brief(value: object) -> str:
    """A value on one line of YAML."""
    text = inline(plain(value) if isinstance(value, Node) else value)
    return text if len(text) <= 100 else f"{text[:97]}..."
