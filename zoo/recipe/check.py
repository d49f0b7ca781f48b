"""A merged recipe against what its parts declare: every default filled in, every mistake reported."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from zoo import registry
from zoo.errors import PartError, RecipeError, compose
from zoo.recipe.merge import is_element_patch, merge, nest
from zoo.recipe.node import Node, join, node_of, plain
from zoo.recipe.schema import SAMPLED, VERSION, sections
from zoo.recipe.slots import admits_none, choose, fits, inner_default, lay, named
from zoo.signature import REQUIRED, Field, Type

MAX_DEPTH = 64
UNPATCHABLE = ("extends", "plugins", "presets", "ablate", "version")


def check(tree: Node) -> Node:
    """The resolved recipe: complete, with every number in its declared type.

    Raises: RecipeError with one line for every mistake.
    """
    checker = Checker()
    resolved = checker.recipe(tree)
    errors = dict.fromkeys(checker.errors)
    for section in ("presets", "ablate"):
        if section in resolved.value:
            errors.update(_check_patches(tree, section, resolved[section], errors))
    if errors:
        raise RecipeError("\n".join(errors))
    return resolved


def _check_patches(tree: Node, section: str, patches: Node, known: dict[str, None]) -> dict[str, None]:
    """The mistakes that a preset or an ablation would bring, each under its name."""
    found = {}
    base = Node({k: n for k, n in tree.value.items() if k not in ("presets", "ablate")}, tree.origin)
    for name, patch in patches.children():
        checker = Checker(prefix=f"{section}.{name}: ")
        touched = {key.partition(".")[0] for key, _ in patch.children()}  # the rest is as it was, and has been checked
        try:
            checker.recipe(_patched(base, section, patch, checker), touched)
        except RecipeError as error:
            checker.errors.append(str(error))
        found.update({e: None for e in checker.errors if e.replace(checker.prefix, "", 1) not in known})
    return found


def _patched(tree: Node, section: str, patch: Node, checker: Checker) -> Node:
    for key, node in patch.children():
        top = key.partition(".")[0]
        if section == "presets" and top not in SAMPLED:
            checker.error(f"{key}: a preset cannot change this", node, allowed=SAMPLED, given=top)
        elif top in UNPATCHABLE:
            checker.error(f"{key}: an ablation cannot change this", node)
        else:
            tree = lay(tree, nest(key, node))
    return tree


class Checker:
    """Walks a tree along its schema and gathers what is wrong."""

    def __init__(self, prefix: str = ""):
        self.prefix = prefix
        self.errors: list[str] = []

    def error(self, what: str, node: Node, **more: Any) -> None:
        self.errors.append(compose(self.prefix + what, node.origin, **more))

    def recipe(self, tree: Node, only: Collection[str] | None = None) -> Node:
        """The top level, or some sections of it."""
        schema = sections()
        self._unknown(tree, schema, "", "a recipe", ["extends", *schema])
        wanted = schema if only is None else only
        resolved = {k: self._field(tree, field, "a recipe", "", 1) for k, field in schema.items() if k in wanted}
        result = Node({k: n for k, n in resolved.items() if n is not None}, tree.origin)
        self._version(result.value.get("version"))
        self._shape(result.value.get("shape"))
        return result

    def _version(self, node: Node | None) -> None:
        if node and isinstance(node.value, int) and node.value != VERSION:
            self.error(f"version: this zoo reads recipes of version {VERSION}, not {node.value}", node)

    def _shape(self, node: Node | None) -> None:
        sizes = plain(node) if node else []
        if node and isinstance(sizes, list) and not (len(sizes) in (3, 4) and all(_is_size(s) for s in sizes)):
            self.error(f"shape: expected [channels, height, width], or frames in front of them, got {sizes}", node)

    def _unknown(self, node: Node, fields: dict[str, Field], path: str, owner: str, allowed: list[str]) -> None:
        for key in node.value:
            if key not in fields and key not in ("use" if path else "extends",):
                self.error(f"{join(path, key)}: unknown field of {owner}", node[key], allowed=allowed, given=key)

    def _field(self, parent: Node, field: Field, owner: str, path: str, depth: int) -> Node | None:
        """The field's value, or its default if the parent leaves it out or says null."""
        path, node = join(path, field.name), parent.value.get(field.name)
        if node is None or (node.value is None and not admits_none(field.type)):
            if field.default is REQUIRED:
                self.error(f"{path}: {owner} needs this field ({field.type})", node or parent)
                return None
            fresh = node_of(field.default, f"default of {owner}")
            node = Node(fresh.value, fresh.origin, before=node)
        elif isinstance(field.default, list) and is_element_patch(node):
            node = self._patched_default(node, field.default, owner, path)
        found = self.value(node, field.type, field.default, path, depth)
        return Node(found.value, found.origin, found.before, field)  # dataclasses.replace took a quarter of a check

    def _patched_default(self, node: Node, default: list, owner: str, path: str) -> Node:
        try:
            return merge(node_of(default, f"default of {owner}"), node)
        except RecipeError as error:
            self.error(f"{path}: {error}", node)
            return node_of(default, node.origin)

    def value(self, node: Node, type: Type, default: Any, path: str, depth: int) -> Node:
        """The node in the declared type; a node that does not fit is reported and handed back."""
        chosen = choose(type, node)
        if depth > MAX_DEPTH:
            self.error(f"{path}: default parts nest without end", node)
        elif chosen is None or not (fits(chosen, node.value) or _is_whole(chosen, node.value)):
            self._misfit(node, type, path)
        elif chosen.name == "part":
            return self._part(node, chosen.args[0], default, path, depth)
        elif chosen.name == "list":
            items = [self.value(n, chosen.args[0], inner_default(default, ""), join(path, i), depth + 1)
                     for i, n in enumerate(node.value)]
            return node.holding(items)
        elif chosen.name == "dict":
            return self._dict(node, chosen, default, path, depth)
        elif chosen.name == "float":
            return self._float(node, path)
        elif node.value.__class__ is int and not -(2**63) <= node.value < 2**63:
            self.error(f"{path}: too large for 64 bits", node)
        return node

    def _float(self, node: Node, path: str) -> Node:
        try:
            number = float(node.value)
        except OverflowError:
            self.error(f"{path}: too large for a float", node)
            return node
        if math.isnan(number):
            self.error(f"{path}: not a number", node)
        return node.holding(number)

    def _dict(self, node: Node, type: Type, default: Any, path: str, depth: int) -> Node:
        """Every element in its type; an element that is null is not there."""
        key_type, value_type = type.args
        items = {}
        for key, child in node.value.items():
            if not fits(key_type, key):
                self._misfit(child.holding(key), key_type, f"{path} (the key)")
            elif child.value is not None or admits_none(value_type):
                items[key] = self.value(child, value_type, inner_default(default, key), join(path, key), depth + 1)
        return node.holding(items)

    def _part(self, node: Node, kind: str, default: Any, path: str, depth: int) -> Node:
        try:
            named_node = named(node, kind, default)
            use = named_node.value.get("use")
            if use is None or not isinstance(use.value, str):
                names = [p.name for p in registry.parts(kind)]
                self.error(f"{path}: say which {kind} with `use`", use or node, allowed=names)
                return node
            part = registry.find(kind, use.value, f"{use.origin}: {self.prefix}{path}")
        except PartError as error:
            self.errors.append(str(error))
            return node
        owner, fields = f"{kind} {part.name}", part.fields
        self._unknown(named_node, fields, path, owner, list(fields) or ["no fields"])
        resolved = {name: self._field(named_node, field, owner, path, depth + 1) for name, field in fields.items()}
        named_use = use.holding(part.name)
        return node.holding({"use": named_use, **{k: n for k, n in resolved.items() if n is not None}})

    def _misfit(self, node: Node, type: Type, path: str) -> None:
        given = repr(plain(node))
        given = given if len(given) <= 60 else f"{given[:57]}..."
        literals = [a for t in (type, *type.args) if isinstance(t, Type) and t.name == "literal" for a in t.args]
        kinds = type.kinds
        if literals:
            self.error(f"{path}: {given} is none of its values", node, allowed=literals, given=plain(node))
        elif kinds:
            self.error(f"{path}: expected {type}, got {given}", node, fix=f"zoo-list {kinds[0]} shows the parts")
        else:
            self.error(f"{path}: expected {type}, got {given}", node)


def _is_size(value: Any) -> bool:
    return value.__class__ is int and value > 0


def _is_whole(type: Type, value: Any) -> bool:
    return type.name == "float" and value.__class__ is int
