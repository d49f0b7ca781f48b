"""A modular plug-in backbone zoo for diffusion models.

A backbone is a recipe over registered parts; see `zoo.build`, `zoo.load_recipe`, `zoo.register`,
`zoo.parts`, `zoo.from_pretrained`, `zoo.save_pretrained`, `zoo.push_to_hub`, `zoo.sample`, `zoo.ops`
and `zoo.interop`. Names are imported when they are first used, so that `import zoo` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from zoo import diffusion, interop, ops, parts
    from zoo.builder import build
    from zoo.errors import ZooError
    from zoo.grid import Grid
    from zoo.recipe import Recipe, load_recipe
    from zoo.registry import Make, register
    from zoo.sampling.api import sample
    from zoo.weights.hub import push_to_hub
    from zoo.weights.load import from_pretrained, save_pretrained

_PLACES = {
    "build": "zoo.builder",
    "load_recipe": "zoo.recipe",
    "Recipe": "zoo.recipe",
    "register": "zoo.registry",
    "Make": "zoo.registry",
    "from_pretrained": "zoo.weights.load",
    "save_pretrained": "zoo.weights.load",
    "push_to_hub": "zoo.weights.hub",
    "sample": "zoo.sampling.api",
    "Grid": "zoo.grid",
    "ZooError": "zoo.errors",
}
_PACKAGES = ("diffusion", "interop", "ops", "parts")
__all__ = [
    "Grid", "Make", "Recipe", "ZooError", "__version__", "build", "diffusion", "from_pretrained", "interop",
    "load_recipe", "ops", "parts", "push_to_hub", "register", "sample", "save_pretrained",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"zoo.{name}")
    raise AttributeError(f"module 'zoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
