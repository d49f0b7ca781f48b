"""Published checkpoints, by the names under which they were published."""

from zoo.interop.export import save_official, to_official
from zoo.interop.official import FAMILIES, family_of, load_official
from zoo.interop.read import read_official

__all__ = ["FAMILIES", "family_of", "load_official", "read_official", "save_official", "to_official"]
