"""Published checkpoints, by the names under which they were published."""

from zoo.interop.official import FAMILIES, load_official

__all__ = ["FAMILIES", "load_official"]
