"""The shelves of parts, a folder a kind and a file a part; `zoo.parts("scan")` lists one."""

from __future__ import annotations

import sys
from types import ModuleType

from zoo import registry


class _Shelves(ModuleType):
    """This package, which can also be called: `zoo.parts(kind)`."""

    def __call__(self, kind: str) -> list[registry.Part]:
        """Every part of a kind: `.name`, `.doc`, `.fields`, `.where`."""
        return registry.parts(kind)


sys.modules[__name__].__class__ = _Shelves
