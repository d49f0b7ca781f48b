"""The record of what samples were made from, so that they can be finished but never mixed."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from zoo.errors import ZooError
from zoo.recipe import Recipe
from zoo.sampling.size import Size
from zoo.weights.header import read_header

INCIDENTAL = ("source", "images", "versions")
"""What may differ between two calls that make the same samples."""
LISTED = 4


def record(source: Path, trained: Recipe, drawn: Recipe, *, images: int, seed: int, size: Size,
           classes: Mapping[str, Sequence[int]] | None, precision: str,
           form: Mapping[str, Any]) -> dict[str, Any]:  # fmt: skip
    """Everything that the images of a folder depend on, and the versions that drew them.

    Args:
        source: the weights file.
        trained: the recipe inside it.
        drawn: the same with the settings of this call.
        form: of videos, format and speed.
    """
    parts = {name: drawn.get(name) for name in ("sampler", "guidance", "autoencoder")}
    packages = {name: version(name) for name in ("torch", "numpy", "safetensors")}
    return {
        "source": str(source),
        "weights": read_header(source).sha256,
        "recipe": trained.hash,
        **parts,
        "seed": seed,
        "size": list(size),
        "precision": precision,
        **form,
        "classes": None if classes is None else {label: list(numbers) for label, numbers in classes.items()},
        "images": images,
        "versions": {"python": platform.python_version(), **packages},
    }


def write_record(path: Path, wanted: dict[str, Any]) -> None:
    """The record as a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(dump_record(wanted), encoding="utf-8")
    os.replace(aside, path)


def dump_record(wanted: dict[str, Any]) -> str:
    """The record as text."""
    return json.dumps(wanted, indent=2) + "\n"


def check_record(found: str | bytes, wanted: dict[str, Any], where: Path,
                 incidental: Sequence[str] = INCIDENTAL) -> None:  # fmt: skip
    """Raises: ZooError if a record found is not of the samples wanted; it says what differs."""
    if differs := _difference(found, wanted, incidental):
        raise made_otherwise(differs, where)


def made_otherwise(differs: str, where: Path) -> ZooError:
    """The refusal to mix samples."""
    return ZooError(f"these samples were made otherwise: {differs}", where=str(where),
                    fix="give another --out, or delete what is there")  # fmt: skip


def _difference(text: str | bytes, wanted: dict[str, Any], incidental: Sequence[str]) -> str:
    """Where a record is not the wanted one, as text; the first few keys."""
    try:
        found = dict(_leaves(json.loads(text)))
    except (ValueError, AttributeError, RecursionError):
        return "unreadable"
    here = dict(_leaves(json.loads(json.dumps(wanted))))
    keys = [k for k in {**here, **found} if k.split(".")[0] not in incidental and found.get(k) != here.get(k)]
    shown = [f"{k} {json.dumps(found.get(k))} there, {json.dumps(here.get(k))} here" for k in keys[:LISTED]]
    return ", ".join([*shown, *([f"{len(keys) - LISTED} more"] if len(keys) > LISTED else [])])


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a nested mapping."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
