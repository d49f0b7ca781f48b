"""`sample.json`: what a folder of samples was made from, so that it can be finished but never mixed."""

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
from zoo.sampling.form import ENDINGS, Form
from zoo.sampling.picture import single
from zoo.sampling.size import Size
from zoo.weights.header import read_header

INCIDENTAL = ("source", "images", "versions")
"""What may differ between two calls that fill the same folder."""
LISTED = 4


def record(source: Path, trained: Recipe, drawn: Recipe, *, images: int, seed: int, size: Size,
           classes: Mapping[str, Sequence[int]] | None, form: Mapping[str, Any] = {}) -> dict[str, Any]:  # fmt: skip
    """Everything that the images of a folder depend on, and the versions that drew them.

    Args:
        source: the weights file.
        trained: the recipe inside it.
        drawn: the same with the settings of this call.
        form: of videos, their format.
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
        **form,
        "classes": None if classes is None else {label: list(numbers) for label, numbers in classes.items()},
        "images": images,
        "versions": {"python": platform.python_version(), **packages},
    }


def check_folder(folder: Path, wanted: dict[str, Any]) -> None:
    """Raises: ZooError if `folder` already holds other samples; it says what differs."""
    path = folder / "sample.json"
    unknown = "no sample.json beside them" if any(file.suffix in ENDINGS for file in folder.glob("[0-9]*")) else ""
    differs = _difference(path, wanted) if path.exists() else unknown
    if differs:
        raise ZooError(f"these samples were made otherwise: {differs}", where=str(path),
                       fix="give another --out, or delete this folder")


def open_folder(folder: Path, wanted: dict[str, Any]) -> None:
    """Write the record, before the first image."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".sample.json.{os.getpid()}.tmp"
    aside.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    os.replace(aside, folder / "sample.json")


def missing(folder: Path, images: int, size: Size, form: Form) -> list[int]:
    """The numbers whose file is not there yet, or is not a picture or video of this size."""
    return [i for i in range(images) if not form.whole(single(folder, i, form.ending), size)]


def _difference(path: Path, wanted: dict[str, Any]) -> str:
    """Where the record at `path` is not the wanted one, as text; the first few keys."""
    try:
        found = dict(_leaves(json.loads(path.read_bytes())))
    except (ValueError, AttributeError, RecursionError):
        return "unreadable"
    here = dict(_leaves(json.loads(json.dumps(wanted))))
    keys = [k for k in {**here, **found} if k.split(".")[0] not in INCIDENTAL and found.get(k) != here.get(k)]
    shown = [f"{k} {json.dumps(found.get(k))} there, {json.dumps(here.get(k))} here" for k in keys[:LISTED]]
    return ", ".join([*shown, *([f"{len(keys) - LISTED} more"] if len(keys) > LISTED else [])])


def _leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a nested mapping."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
