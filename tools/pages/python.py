"""The Python interface: what `import zoo` offers, filled in by mkdocstrings."""

from __future__ import annotations

import importlib

import zoo

PACKAGES = {"ops": "Operators", "interop": "Published checkpoints"}
MODULES = {
    "slots": ("What the slots of a backbone expect", "zoo.parts.protocols"),
    "diffusion": ("Diffusion", "zoo.diffusion.protocols", "zoo.diffusion.denoiser", "zoo.diffusion.noise"),
    "building": ("From recipe to objects", "zoo.builder"),
    "errors": ("Errors", "zoo.errors"),
}

HEAD = """Everything under `zoo` is imported when it is first used, so that `import zoo` costs nothing.

{}; and the packages [`zoo.ops`](ops.md), [`zoo.interop`](interop.md), [`zoo.diffusion`](diffusion.md) and
[`zoo.parts`](slots.md): `zoo.parts("scan")` lists a shelf."""


def pages() -> dict[str, str]:
    """Path -> Markdown."""
    written = {}
    for name, title in PACKAGES.items():
        package = importlib.import_module(f"zoo.{name}")
        members = [getattr(package, member) for member in package.__all__]
        written[name] = _page(title, [f"{m.__module__}.{m.__name__}" for m in members if callable(m)])
    written |= {name: _page(title, modules) for name, (title, *modules) in MODULES.items()}
    shown = {module for _, *modules in MODULES.values() for module in modules}
    places = {name: zoo._PLACES[name] for name in sorted(zoo.__all__) if name in zoo._PLACES}
    links = ", ".join(f"[`zoo.{name}`][{place}.{name}]" for name, place in places.items())
    written["index"] = _page("Python", [f"{place}.{name}" for name, place in places.items() if place not in shown],
                             HEAD.format(links))  # fmt: skip
    return {f"reference/python/{name}.md": text for name, text in written.items()}


def _page(title: str, names: list[str], head: str = "") -> str:
    """Everything about each of these modules, classes or functions."""
    return "\n\n".join(filter(None, [f"# {title}", head, *(f"::: {name}" for name in names)])) + "\n"
