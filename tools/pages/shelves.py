"""A page for every shelf: its slot, and every part with its picture, fields, users and source."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from pages.markdown import code, docstring, fence, folded, prose, table
from pages.usage import places, users
from zoo import registry
from zoo.recipe.explain import brief
from zoo.registry import Part
from zoo.signature import Type

ROOT = Path(__file__).parents[2]


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    kinds = [kind for kind in registry.kinds() if registry.parts(kind)]
    return {"reference/parts/index.md": index(kinds), **{f"reference/parts/{kind}.md": shelf(kind) for kind in kinds}}


def index(kinds: list[str]) -> str:
    """All shelves in a table."""
    rows = [(f"[{kind}]({kind}.md)", len(registry.parts(kind)), ", ".join(_link(p) for p in registry.parts(kind)))
            for kind in kinds]  # fmt: skip
    count = sum(len(registry.parts(kind)) for kind in kinds)
    head = f"# Parts\n\n{count} parts on {len(kinds)} shelves. A recipe names them; `zoo-list KIND PART` shows one.\n\n"
    return head + table(["shelf", "parts", "names"], rows) + "\n"


def _link(part: Part) -> str:
    return f"[`{part.name}`]({part.kind}.md#{part.name})"


def shelf(kind: str) -> str:
    """One shelf."""
    parts = registry.parts(kind)
    where = ", ".join(code(place) for place in places().get(kind, []))
    rows = [(f"[`{p.name}`](#{p.name})", prose(p.doc), len(users().get((kind, p.name), []))) for p in parts]
    head = [f"# {kind}", docstring(contract(kind)), f"In a recipe: {where}." if where else "",
            table(["part", "what it is", "recipes"], rows)]  # fmt: skip
    return "\n\n".join(filter(None, [*head, *map(section, parts)])) + "\n"


def section(part: Part) -> str:
    """One part."""
    pieces = [f"## `{part.name}` {{ #{part.name} }}", docstring(part.declared.doc), picture(part), fields(part)]
    if part.declared.aliases:
        pieces.append("Also called " + ", ".join(map(code, part.declared.aliases)) + ".")
    pieces += [used_by(users().get((part.kind, part.name), [])), source(part)]
    return "\n\n".join(filter(None, pieces))


def picture(part: Part) -> str:
    """Its drawing, if there is one."""
    drawn = ROOT / f"docs/parts/{part.kind}/{part.name}.svg"
    return f"![{part.kind} {part.name}](../../parts/{part.kind}/{part.name}.svg){{ .part }}" if drawn.exists() else ""


def fields(part: Part) -> str:
    """What a recipe may set."""
    if not part.fields:
        return "It has no fields: a recipe gives its name alone."
    rows = [(code(f.name), kind_link(f.type), "required" if f.required else code(brief(f.default)), prose(f.doc))
            for f in part.fields.values()]  # fmt: skip
    return table(["field", "type", "default", "meaning"], rows)


def kind_link(type: Type) -> str:
    """The type of a field; a part links to its shelf."""
    if not type.kinds:
        return code(type)
    shelves = ", ".join(f"[{k}]({k}.md)" for k in dict.fromkeys(type.kinds) if registry.parts(k))
    inner = {a.name for a in type.args if isinstance(a, Type)}
    either = "part or list of parts" if "list" in inner else "part or null"
    form = {"dict": "part by name", "list": "list of parts", "part": "part"}.get(type.name, either)
    return f"{form}: {shelves}"


def used_by(names: list[str]) -> str:
    """Links to recipes, folded when they are many."""
    if not names:
        return "No shipped recipe uses it."
    links = ", ".join(f"[{name}](../recipes/{name}.md)" for name in names)
    return f"Used by {links}." if len(names) <= 6 else folded(f"Used by {len(names)} recipes", links)


def source(part: Part) -> str:
    """The code of the part, folded."""
    path = Path(part.path)
    shown = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    listing = fence(_segment(path, part.declared.qualname), "python")
    return folded(f"Source: {shown}, line {part.declared.line}", listing)


def _segment(path: Path, name: str) -> str:
    text = path.read_text(encoding="utf-8")
    node = next(n for n in ast.parse(text).body if getattr(n, "name", None) == name)
    assert isinstance(node, (ast.ClassDef, ast.FunctionDef))
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    return "\n".join(text.splitlines()[first - 1 : node.end_lineno])


@cache
def contract(kind: str) -> str:
    """What the slot expects, from the protocol of that name."""
    name = "".join(word.title() for word in kind.split("_"))
    for file in sorted((ROOT / "zoo").rglob("protocol*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return ast.get_docstring(node) or ""
    return ""
