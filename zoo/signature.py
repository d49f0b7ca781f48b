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

SCALARS = ("int", "float", "bool", "str", "None", "Any")


class REQUIRED:
    """The default of a field that has none; a class, so that it stays itself when it is pickled."""


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


def declarations(path: Path, source: str | None = None) -> list[Declaration]:
    """Every registered class and function at the top level of a Python file, or of its text if given."""
    source = _read(path) if source is None else source
    if "register" not in source:
        return []
    tree, classes, lines = _parse(path, source)
    found = []
    for node in tree.body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            continue
        for call in node.decorator_list:
            if isinstance(call, ast.Call) and _is_register(call):
                found.append(_declaration(node, call, classes, lines, path))
    return found


def fields_of(path: Path, name: str) -> dict[str, Field]:
    """The fields of one class in a Python file, registered or not."""
    _, classes, lines = _parse(path, _read(path))
    return {f.name: f for f in _fields(classes[name], classes, lines, path)}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PartError(f"cannot read this part: {error}", where=str(path)) from None


def _parse(path: Path, source: str) -> tuple[ast.Module, dict[str, ast.ClassDef], list[str]]:
    try:
        tree = ast.parse(source, filename=str(path))
    except SyntaxError as error:
        raise PartError(f"cannot read this part: {error.msg}", where=f"{path}:{error.lineno}") from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, absurd nesting
        raise PartError(f"cannot read this part: {error}", where=str(path)) from None
    return tree, {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}, source.split("\n")


def _is_register(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", None)
    return name == "register"


def _declaration(node, call: ast.Call, classes: dict, lines: list[str], path: Path) -> Declaration:
    where = f"{path}:{call.lineno}"
    try:
        kind, name = (ast.literal_eval(a) for a in call.args)
        options = {k.arg: ast.literal_eval(k.value) for k in call.keywords}
    except (ValueError, TypeError):
        raise PartError("register() takes a literal kind and name", where=where) from None
    fields = tuple(_fields(node, classes, lines, path))
    doc = ast.get_docstring(node) or ""
    return Declaration(kind, name, tuple(options.get("aliases", ())), node.name, node.lineno, doc, fields)


def _fields(node, classes: dict, lines: list[str], path: Path):
    if isinstance(node, ast.FunctionDef):
        return _arguments(node, lines, path)
    if any("dataclass" in ast.unparse(d) for d in node.decorator_list):
        return _dataclass_fields(node, classes, lines, path)
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _arguments(statement, lines, path)
    for base in _bases(node, classes):  # a sibling in the same file may hold the shared __init__
        return _fields(base, classes, lines, path)
    return []


def _bases(node: ast.ClassDef, classes: dict) -> list[ast.ClassDef]:
    """Its bases that stand above it in the same file."""
    above = [classes[b.id] for b in node.bases if isinstance(b, ast.Name) and b.id in classes]
    return [b for b in above if b.lineno < node.lineno]


def _dataclass_fields(node: ast.ClassDef, classes: dict, lines: list[str], path: Path) -> list[Field]:
    """Its own fields after those of its bases in the same file; a field said again keeps its place."""
    found = {}
    for base in _bases(node, classes):
        found.update({f.name: f for f in _fields(base, classes, lines, path)})
    for s in node.body:
        if isinstance(s, ast.AnnAssign) and isinstance(s.target, ast.Name) and not _is_class_var(s.annotation):
            found[s.target.id] = _field(s.target.id, s.annotation, _given(s.value), s, lines, path)
    return list(found.values())


def _is_class_var(annotation: ast.expr) -> bool:
    return "ClassVar" in ast.unparse(annotation)


def _given(default: ast.expr | None) -> ast.expr | None:
    """What stands behind `field(default=...)` or `field(default_factory=list | dict | lambda: ...)`."""
    if not (isinstance(default, ast.Call) and ast.unparse(default.func).rsplit(".", 1)[-1] == "field"):
        return default
    options = {k.arg: k.value for k in default.keywords}
    factory = options.get("default_factory")
    if isinstance(factory, ast.Lambda):
        return factory.body
    if isinstance(factory, ast.Name) and factory.id in ("list", "dict"):
        return ast.List(elts=[]) if factory.id == "list" else ast.Dict(keys=[], values=[])
    return options.get("default") or factory


def _arguments(function: ast.FunctionDef, lines: list[str], path: Path) -> list[Field]:
    pairs = zip(function.args.kwonlyargs, function.args.kw_defaults)
    return [_field(a.arg, a.annotation, default, a, lines, path) for a, default in pairs]


def _field(name: str, annotation, default, node, lines: list[str], path: Path) -> Field:
    where = f"{path}:{node.lineno}"
    if annotation is None:
        raise PartError(f"field {name!r} has no type", where=where, fix="annotate it")
    doc = _comment(node if default is None or isinstance(node, ast.AnnAssign) else default, lines)
    try:
        value = REQUIRED if default is None else ast.literal_eval(default)
    except (ValueError, TypeError):
        raise PartError(f"the default of field {name!r} is not a literal", where=where) from None
    return Field(name, parse_type(annotation, where), value, doc)


def _comment(node: Any, lines: list[str]) -> str:
    """The comment at the end of the field's line, if nothing but punctuation stands between."""
    rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode()  # ast counts bytes
    found = re.match(r"[\s,)]*(?:->[^#]*)?:?\s*#\s*(.*)$", rest)
    return found.group(1).strip() if found else ""


def parse_type(node: ast.expr, where: str = "") -> Type:
    """A `Type` from an annotation; a quoted annotation is read as well."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return parse_type(_quoted(node.value, where), where)
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


def _quoted(text: str, where: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        raise PartError(f"a field cannot have the type {text!r}", where=where) from None


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
        return Type("part", (snake(str(named).rsplit(".", 1)[-1]),))
    raise PartError(f"a field cannot have the type {ast.unparse(node)!r}", where=where)


def snake(name: str) -> str:
    """`TimeGrid` -> `time_grid`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
