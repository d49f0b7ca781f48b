"""Read what a part asks for from its source, without importing it.

The keyword-only arguments of a part's `__init__` (or of a function part), or the fields of a
dataclass, are the fields that a recipe may set. Positional arguments are given by the owner.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import PartError

REQUIRED = object()
SCALARS = ("int", "float", "bool", "str", "None", "Any")


@dataclass(frozen=True)
class Type:
    """The type of a field: `name` is a scalar, literal, list, dict, union or part; `args` its inside."""

    name: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.name == "literal":
            return " | ".join(repr(a) for a in self.args)
        if self.name == "union":
            return " | ".join(str(a) for a in self.args)
        if self.name in ("list", "dict"):
            return f"{self.name}[{', '.join(str(a) for a in self.args)}]"
        return f"part of kind {self.args[0]}" if self.name == "part" else self.name

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of part that may stand here, directly or inside a list, dict or union."""
        if self.name == "part":
            return self.args
        inner = [a for a in self.args if isinstance(a, Type)]
        return tuple(k for a in inner for k in a.kinds)


@dataclass(frozen=True)
class Field:
    """One thing that a recipe may set on a part."""

    name: str
    type: Type
    default: Any = REQUIRED
    doc: str = ""

    @property
    def required(self) -> bool:
        return self.default is REQUIRED


@dataclass(frozen=True)
class Declaration:
    """One `@register(kind, name)` found in a source file."""

    kind: str
    name: str
    aliases: tuple[str, ...]
    qualname: str
    line: int
    doc: str
    fields: tuple[Field, ...] = field(default_factory=tuple)

    @property
    def summary(self) -> str:
        return self.doc.strip().split("\n", 1)[0]


def declarations(path: Path) -> list[Declaration]:
    """Every registered class and function at the top level of a Python file."""
    source = path.read_text(encoding="utf-8")
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise PartError(f"cannot read this part: {error.msg}", where=f"{path}:{error.lineno}") from None
    lines, classes = source.splitlines(), {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    found = []
    for node in tree.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        for call in (d for d in node.decorator_list if _is_register(d)):
            found.append(_declaration(node, call, classes, lines, path))
    return found


def _is_register(node: ast.expr) -> bool:
    function = node.func if isinstance(node, ast.Call) else None
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", None)
    return name == "register"


def _declaration(node, call: ast.Call, classes: dict, lines: list[str], path: Path) -> Declaration:
    where = f"{path}:{call.lineno}"
    try:
        kind, name = (ast.literal_eval(a) for a in call.args)
        options = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except ValueError:
        raise PartError("register() takes a literal kind and name", where=where) from None
    fields = tuple(_fields(node, classes, lines, path))
    doc = ast.get_docstring(node) or ""
    return Declaration(kind, name, tuple(options.get("aliases", ())), node.name, node.lineno, doc, fields)


def _fields(node, classes: dict, lines: list[str], path: Path):
    if isinstance(node, ast.FunctionDef):
        return _arguments(node, lines, path)
    if any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return [_field(s.target.id, s.annotation, s.value, s, lines, path) for s in node.body
                if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name)]
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _arguments(statement, lines, path)
    for base in node.bases:  # a sibling in the same file may hold the shared __init__
        if getattr(base, "id", None) in classes:
            return _fields(classes[base.id], classes, lines, path)
    return []


def _arguments(function: ast.FunctionDef, lines: list[str], path: Path) -> list[Field]:
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults)
    return [_field(a.arg, a.annotation, default, a, lines, path) for a, default in pairs]


def _field(name: str, annotation, default, node, lines: list[str], path: Path) -> Field:
    where = f"{path}:{node.lineno}"
    if annotation is None:
        raise PartError(f"field {name!r} has no type", where=where, fix="annotate it")
    comment = re.search(r"#\s*(.*)$", lines[node.end_lineno - 1][node.end_col_offset:])
    doc = comment.group(1).strip() if comment else ""
    try:
        value = REQUIRED if default is None else ast.literal_eval(default)
    except ValueError:
        raise PartError(f"the default of field {name!r} is not a literal", where=where) from None
    return Field(name, parse_type(annotation, where), value, doc)


def parse_type(node: ast.expr, where: str = "") -> Type:
    """A `Type` from an annotation; a quoted annotation is read as well."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return parse_type(ast.parse(node.value, mode="eval").body, where)
    if isinstance(node, ast.Constant) and node.value is None:
        return Type("None")
    if isinstance(node, ast.Name) and node.id in SCALARS:
        return Type(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        left, right = parse_type(node.left, where), parse_type(node.right, where)
        return Type("union", (left.args if left.name == "union" else (left,)) + (right,))
    if isinstance(node, ast.Subscript):
        return _parse_subscript(node, where)
    raise PartError(f"a field cannot have the type {ast.unparse(node)!r}", where=where,
                    allowed=[*SCALARS, "Literal[...]", "list[T]", "dict[str, T]", "Make[Kind]", "A | B"])


def _parse_subscript(node: ast.Subscript, where: str) -> Type:
    outer = ast.unparse(node.value).rsplit(".", 1)[-1]
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer == "Literal":
        return Type("literal", tuple(ast.literal_eval(i) for i in inner))
    if outer in ("list", "Sequence", "tuple"):
        return Type("list", (parse_type(inner[0], where),))
    if outer == "dict":
        return Type("dict", tuple(parse_type(i, where) for i in inner))
    if outer == "Make":
        named = inner[0].value if isinstance(inner[0], ast.Constant) else ast.unparse(inner[0])
        return Type("part", (snake(str(named)),))
    raise PartError(f"a field cannot have the type {ast.unparse(node)!r}", where=where)


def snake(name: str) -> str:
    """`TimeGrid` -> `time_grid`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
