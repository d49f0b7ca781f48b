"""Which part stands in a slot when the recipe does not say so, and which of several types is meant."""

from __future__ import annotations

from typing import Any

from zoo import registry
from zoo.errors import PartError
from zoo.recipe.merge import merge
from zoo.recipe.node import Node, node_of
from zoo.recipe.schema import sections
from zoo.signature import REQUIRED, Field, Type

TEXT = Type("str")


def admits_none(type: Type) -> bool:
    """Whether null is a value of the type, and not the wish for the default."""
    return type.name in ("None", "Any") or (type.name == "union" and any(admits_none(a) for a in type.args))


def choose(type: Type, node: Node) -> Type | None:
    """The alternative of a union that has the node's shape; the type itself if it is no union."""
    if type.name != "union":
        return type
    exact = [a for a in type.args if fits(a, node.value)]
    return (exact or [a for a in type.args if a.name == "float" and fits(Type("int"), node.value)] or [None])[0]


def fits(type: Type, value: Any) -> bool:
    """Whether a value looks like the type, its inside not considered."""
    if type.name == "literal":
        return any(value == a and value.__class__ is a.__class__ for a in type.args)
    if type.name == "part":
        return isinstance(value, (str, dict))
    if type.name in ("Any", "union"):
        return type.name == "Any" or any(fits(a, value) for a in type.args)
    return value.__class__.__name__ == ("NoneType" if type.name == "None" else type.name)


def named(node: Node, kind: str, default: Any = REQUIRED) -> Node:
    """The node as a mapping that says its `use`: its own, else the field's default, else the only part."""
    if isinstance(node.value, str):
        return Node({"use": node}, node.origin, node.before)
    if (use := node.value.get("use")) and use.value is not None:
        return node
    own = {key: child for key, child in node.value.items() if key != "use"}
    return node.holding({**_start(kind, default), **own})


def _start(kind: str, default: Any) -> dict[str, Node]:
    if isinstance(default, str):
        return {"use": Node(default, "default")}
    if isinstance(default, dict) and isinstance(default.get("use"), str):
        return node_of(default, "default").value
    only = registry.parts(kind)
    return {"use": Node(only[0].name, "the only one")} if len(only) == 1 else {}


def inner_default(default: Any, key: str) -> Any:
    """The default of one element: that of the same key, or of the slot if it may also hold a single part."""
    if isinstance(default, dict) and "use" not in default:
        return default.get(key, REQUIRED)
    return REQUIRED if isinstance(default, (list, tuple)) else default


def lay(tree: Node, patch: Node) -> Node:
    """`patch` over a whole recipe, whose parts are made explicit first: only then is it known which change."""
    return merge(explicit_fields(tree, sections()), patch)


def explicit(node: Node, type: Type, default: Any = REQUIRED) -> Node:
    """The same node with every `use` that the schema implies written out.

    What stands under a part can only be kept or dropped rightly if it is known which part that is.
    What the schema does not know stays as it is; `check` will complain about it.
    """
    chosen = choose(type, node)
    if chosen is None or not isinstance(node.value, (dict, list)):
        return node
    if chosen.name == "part" and isinstance(node.value, dict):
        return _explicit_part(node, chosen.kinds[0], default)
    if chosen.name == "list" and isinstance(node.value, list):
        return node.holding([explicit(n, chosen.args[0], inner_default(default, "")) for n in node.value])
    if chosen.name == "dict" and isinstance(node.value, dict):
        items = {k: explicit(n, chosen.args[-1], inner_default(default, k)) for k, n in node.value.items()}
        return node.holding(items)
    return node


def _explicit_part(node: Node, kind: str, default: Any) -> Node:
    try:
        node = named(node, kind, default)
        use = node.value.get("use")
        return explicit_fields(node, registry.find(kind, use.value).fields) if use and fits(TEXT, use.value) else node
    except PartError:
        return node


def explicit_fields(node: Node, fields: dict[str, Field]) -> Node:
    """`explicit` for everything under a mapping with known fields."""
    known = {k: explicit(n, fields[k].type, fields[k].default) for k, n in node.value.items() if k in fields}
    return node.holding({**node.value, **known})
