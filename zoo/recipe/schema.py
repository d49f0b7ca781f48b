"""The top level of a recipe, and the same knowledge as a JSON schema for editors."""
# The kinds inside Make[...] are names of shelves; nothing is imported for them:
# ruff: noqa: F821
# pyright: reportUndefinedVariable=false, reportAssignmentType=false

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from zoo import registry
from zoo.registry import Make, Part
from zoo.signature import REQUIRED, Field, Type, fields_of

VERSION = 1
SAMPLED = ("sampler", "guidance", "autoencoder")
"""Sections that weights do not fix: what sampling may change."""


@dataclass(frozen=True, kw_only=True)
class Sections:
    """What stands at the top level of a recipe; besides, `extends` names the recipes it builds on."""

    version: int = 1  # of the recipe format
    title: str = ""  # one line for tables
    about: str = ""  # anything worth knowing
    provenance: Literal["published", "paper", "reconstructed", "ours"] = "ours"  # where the settings come from
    cite: str = ""  # the paper
    published: dict[str, Any] = field(default_factory=dict)  # figures of the paper
    plugins: list[str] = field(default_factory=list)  # files or folders with parts, relative to the recipe
    shape: list[int]  # what the backbone sees: [C, H, W] or [T, C, H, W]
    backbone: Make[Backbone] = "sequence"  # the network
    process: Make[Process] = "vp_sde"  # noise schedule and prediction
    loss: Make[Loss] = "simple"  # what training minimises
    time: Make[Time] = "uniform"  # how training draws its times
    sampler: Make[Sampler] = "euler_maruyama"  # how images are drawn
    guidance: Make[Guidance] = "none"  # how sampling is steered
    autoencoder: Make[Autoencoder] = "identity"  # between images and what the backbone sees
    data: Make[Dataset] | None = None  # the images
    train: Make[Train] = "default"  # steps, batch, optimizer
    eval: Make[Eval] | None = None  # figures of samples while training; null: none
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> patches for sampling
    ablate: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> patches of dotted keys


@cache
def sections() -> dict[str, Field]:
    """The fields of the top level, by name."""
    return fields_of(Path(__file__), "Sections")


def json_schema() -> dict[str, Any]:
    """A JSON schema (draft 2020-12) of recipes over every part that is registered now.

    Nothing is required and null is allowed everywhere, because a recipe may extend another one.
    """
    schema = _object(sections().values(), "A recipe: a diffusion backbone and what is around it")
    extends = {"type": ["string", "array"], "items": {"type": "string"}, "description": "recipes to build on"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zoo recipe",
        **schema,
        "properties": {"extends": extends, **schema["properties"]},
        "$defs": {kind: _kind(registry.parts(kind)) for kind in registry.kinds()},
    }


def _kind(parts: list[Part]) -> dict[str, Any]:
    names = {"enum": [part.name for part in parts]}
    return {"anyOf": [names, *(_part(part) for part in parts)]}


def _part(part: Part) -> dict[str, Any]:
    schema = _object(part.fields.values(), part.doc)
    return {**schema, "properties": {"use": {"const": part.name}, **schema["properties"]}}


def _object(fields: Any, doc: str) -> dict[str, Any]:
    properties = {f.name: _property(f) for f in fields}
    return {"type": "object", "description": doc, "properties": properties, "additionalProperties": False}


def _property(field: Field) -> dict[str, Any]:
    schema: dict[str, Any] = {"anyOf": [_type(field.type), {"type": "null"}]}
    if field.doc:
        schema["description"] = field.doc
    return schema if field.default is REQUIRED else {**schema, "default": field.default}


def _type(type: Type) -> dict[str, Any]:
    names = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "None": "null"}
    if type.name in names:
        return {"type": names[type.name]}
    if type.name == "literal":
        return {"enum": list(type.args)}
    if type.name == "union":
        return {"anyOf": [_type(a) for a in type.args]}
    if type.name == "list":
        return {"type": "array", "items": _type(type.args[0])}
    if type.name == "dict":
        return {"type": "object", "additionalProperties": {"anyOf": [_type(type.args[-1]), {"type": "null"}]}}
    return {"$ref": f"#/$defs/{type.args[0]}"} if type.name == "part" else {}
