"""Recipes: strict YAML, merged, checked against the parts, explained; nothing here imports torch."""

from zoo.recipe.layers import recipes
from zoo.recipe.recipe import Recipe, load_recipe
from zoo.recipe.schema import json_schema

__all__ = ["Recipe", "json_schema", "load_recipe", "recipes"]
