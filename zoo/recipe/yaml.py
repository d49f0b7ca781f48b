"""Strict YAML: the 1.2 meaning of plain words, no surprises, a line number for every node.

`1e-4` is a number, `on` and `12:30:00` are words, a key said twice is an error, and so are tags,
several documents, and texts that are too long, too deep or blow up through aliases.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import yaml

from zoo.errors import RecipeError
from zoo.recipe.node import Node

MAX_BYTES, MAX_NODES, MAX_DEPTH = 1 << 20, 5_000, 32
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
EXOTIC = re.compile("[\r\x85\u2028\u2029\ufeff]")
WORDS = {word: value for name, value in (("true", True), ("false", False), ("null", None))
         for word in (name, name.title(), name.upper())} | {"": None, "~": None}
Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(Base):
    """Only its events are used: nothing is constructed, so nothing can be executed."""


def parse(text: str | bytes, source: str) -> Node:
    """The mapping that a recipe file holds.

    Raises: RecipeError with file and line.
    """
    root = _Reader(source).read(text)
    if not isinstance(root.value, dict):
        raise RecipeError("a recipe is a mapping of keys to values", where=f"{source}:1")
    return root


def parse_value(text: str, origin: str) -> Node:
    """One value, as the right side of an override; all its nodes have this origin."""
    return _Reader(origin, numbered=False).read(text)


class _Reader:
    def __init__(self, source: str, *, numbered: bool = True):
        self.source, self.numbered, self.nodes = source, numbered, 0
        self.anchors: dict[str, Node] = {}

    def read(self, text: str | bytes) -> Node:
        try:
            text = text.encode() if isinstance(text, str) else text
            if len(text) > MAX_BYTES:
                raise RecipeError(f"{len(text)} bytes of YAML, more than {MAX_BYTES}", where=self.source)
            return self._document(iter(yaml.parse(text.decode("utf-8-sig"), Loader)))
        except UnicodeError as error:
            raise RecipeError(f"not text in UTF-8: {error}", where=self.source) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            what = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
            raise RecipeError(f"not YAML: {what}", where=self._at(mark) if mark else self.source) from None

    def _document(self, events: Iterator[Any]) -> Node:
        next(events)
        if isinstance(next(events), yaml.StreamEndEvent):
            return Node(None, self.source)
        root = self._node(events, next(events), 1)
        next(events)
        if not isinstance(last := next(events), yaml.StreamEndEvent):
            raise RecipeError("a second document", where=self._at(last.start_mark), fix="keep one recipe in a file")
        return root

    def _node(self, events: Iterator[Any], event: Any, depth: int) -> Node:
        where = self._at(event.start_mark)
        self._count(1, depth, where)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, depth, where)
        if event.tag is not None:
            raise RecipeError(f"the tag {event.tag!r} is not allowed", where=where, fix="write the plain value")
        if isinstance(event, yaml.ScalarEvent):
            node = Node(_scalar(event.value, where) if event.implicit[0] else event.value, where)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._list(events, depth), where)
        else:
            node = Node(self._mapping(events, depth), where)
        if event.anchor:
            self.anchors[event.anchor] = node
        return node

    def _list(self, events: Iterator[Any], depth: int) -> list[Node]:
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(events, event, depth + 1))
        return items

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Node]:
        items: dict[str, Node] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            where = self._at(event.start_mark)
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
                raise RecipeError("a key is a plain word", where=where)
            if event.value in items:
                raise RecipeError(f"the key {event.value!r} stands twice", where=where,
                                  fix=f"the first is at {items[event.value].origin}")
            items[event.value] = replace(self._node(events, next(events), depth + 1), origin=where)
        return items

    def _alias(self, anchor: str, depth: int, where: str) -> Node:
        if anchor not in self.anchors:
            raise RecipeError(f"the alias *{anchor} has no anchor before it", where=where)
        self._recount(self.anchors[anchor], depth, where)
        return self.anchors[anchor]

    def _recount(self, node: Node, depth: int, where: str) -> None:
        self._count(1, depth, where)
        for _, child in node.children():
            self._recount(child, depth + 1, where)

    def _count(self, nodes: int, depth: int, where: str) -> None:
        self.nodes += nodes
        if self.nodes > MAX_NODES:
            raise RecipeError(f"more than {MAX_NODES} values, aliases included", where=where)
        if depth > MAX_DEPTH:
            raise RecipeError(f"nested more than {MAX_DEPTH} deep", where=where)

    def _at(self, mark: Any) -> str:
        return f"{self.source}:{mark.line + 1}" if self.numbered else self.source


def _scalar(text: str, where: str) -> Any:
    """The value of a plain word by the core schema of YAML 1.2."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        if len(text) > 100:
            raise RecipeError("an integer of more than 100 digits", where=where)
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if not FLOAT.fullmatch(text):
        return text
    if text[-1] in "fFnN":
        return float(text.replace(".", ""))
    if math.isinf(number := float(text)):
        raise RecipeError(f"{text[:20]} is too large for a number", where=where, fix="infinity is written .inf")
    return number


class Dumper(yaml.SafeDumper):
    """Writes what `parse` reads back unchanged, and quotes what YAML 1.1 would misread."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: Dumper, text: str) -> yaml.Node:
    """A string; one with line ends other than \\n in quotes that escape them, for the plain ones fold them."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if EXOTIC.search(text) else None)


Dumper.add_representer(str, _represent_text)
Dumper.add_implicit_resolver("tag:yaml.org,2002:int", INTEGER, list("+-0123456789"))
Dumper.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("+-.0123456789"))


def dump(tree: dict[str, Any]) -> str:
    """A plain tree as YAML, keys in their order, innermost mappings on one line."""
    return yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def inline(value: Any) -> str:
    """Any plain value on one line."""
    options = {"sort_keys": False, "allow_unicode": True, "width": math.inf, "default_flow_style": True}
    return yaml.dump([value], Dumper=Dumper, **options).strip()[1:-1]
