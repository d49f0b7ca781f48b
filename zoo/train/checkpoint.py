"""Checkpoints: folders that are complete or not there, whose every byte is accounted for.

    checkpoints/step-00012000/  model.safetensors  ema.safetensors  optim.safetensors  MANIFEST.json

A checkpoint is written beside its place, synced to disk and renamed; its manifest is written last. The
newest one is looked up, never linked to. Nothing is ever pickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from zoo.errors import CheckpointError
from zoo.recipe import Recipe
from zoo.train.ranks import Ranks
from zoo.train.state import Files
from zoo.train.storage import save_parts
from zoo.weights.file import save_weights
from zoo.weights.folder import STEP, manifest_files

MANIFEST, FORMAT = "MANIFEST.json", 1
ALONE = Ranks(torch.device("cpu"))


def save(root: Path, recipe: Recipe, step: int, images: int, files: Files, scalars: dict[str, Any],
         val: float | None = None, classes: Mapping[str, list[str]] | None = None,
         ranks: Ranks = ALONE) -> Path:  # fmt: skip
    """Write one checkpoint and return its folder; whatever fails, the older ones are untouched.

    Args:
        val: its loss on held-out images, if it was measured.
        classes: label -> names of its classes, for those who sample by name.
        ranks: the processes over which the tensors are spread; all of them must ask, and each writes its part.

    Raises: OSError if the disk refuses, in all of them.
    """
    place = root / f"step-{step:08d}"
    aside = root / f"{place.name}.tmp-{ranks.on_first(os.getpid)}"
    text, write = recipe.to_yaml(), save_weights if ranks.size == 1 else save_parts
    numbers = {"step": step, "images": images}
    card = numbers | ({"classes": dict(classes)} if classes else {})
    try:
        ranks.on_first(lambda: aside.mkdir(parents=True))
        for name, tensors in files.items():
            write(aside / f"{name}.safetensors", tensors, text, card)
        manifest = {"format": FORMAT, **numbers, "recipe": recipe.hash, "scalars": scalars,
                    "val": val if val is None or math.isfinite(val) else None}  # fmt: skip
        ranks.on_first(lambda: _complete(aside, place, manifest, files))
    finally:
        if ranks.first:
            shutil.rmtree(aside, ignore_errors=True)
    return place


def _complete(aside: Path, place: Path, manifest: dict[str, Any], names: Iterable[str]) -> None:
    """The manifest, then the rename."""
    listed = [_entry(aside / f"{name}.safetensors") for name in names]
    _write(aside / MANIFEST, json.dumps({**manifest, "files": listed}, indent=1))
    if place.exists():  # a damaged one of the same step
        shutil.rmtree(place)
    os.replace(aside, place)
    _sync(place.parent)


def verify(folder: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, after every file was compared with it.

    Raises: CheckpointError with the first reason not to trust it.
    """
    for name, (size, sha256) in manifest_files(folder).items():
        path = folder / name
        found = _entry(path) if path.is_file() else None
        if found is None:
            raise CheckpointError(f"{name} is missing", where=str(folder))
        if found["bytes"] != size:
            raise CheckpointError(f"{name} has {found['bytes']} bytes, the manifest says {size}", where=str(folder))
        if found["sha256"] != sha256:
            raise CheckpointError(f"the sha256 of {name} is not the manifest's", where=str(folder))
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT or not {"step", "scalars", "recipe"} <= manifest.keys():
        raise CheckpointError("its manifest is of another format", where=str(folder))
    return manifest


def steps(root: Path) -> list[Path]:
    """Folders that are called checkpoints, newest first."""
    found = [p for p in root.iterdir() if STEP.fullmatch(p.name)] if root.is_dir() else []
    return sorted(found, key=lambda p: int(p.name[5:]), reverse=True)


def newest(root: Path) -> tuple[Path | None, dict[str, Any], list[str]]:
    """(folder, manifest, why newer ones were refused); (None, {}, []) if there is nothing.

    Raises: CheckpointError if there are checkpoints and none is valid.
    """
    refused = []
    for folder in steps(root):
        try:
            return folder, verify(folder), refused
        except CheckpointError as error:
            refused.append(str(error))
    if refused:
        raise CheckpointError(f"no checkpoint is usable: {'; '.join(refused)}", where=str(root),
                              fix="nothing was deleted; start another run with --out")
    return None, {}, []


def prune(root: Path, keep: int, *, best: bool = False) -> None:
    """Delete all but the `keep` newest checkpoints, if the newest one verifies; 0 keeps all.

    Args:
        best: spare the one with the lowest loss on held-out images too.
    """
    if not keep:
        return
    found = steps(root)
    verify(found[0])
    losses = {folder: val for folder in found if best and (val := _val(folder)) is not None}
    spared = min(losses, key=lambda folder: losses[folder], default=None)
    for folder in found[keep:]:
        if folder != spared:
            shutil.rmtree(folder)


def _val(folder: Path) -> float | None:
    """The loss that a manifest names."""
    try:
        val = json.loads((folder / MANIFEST).read_text()).get("val")
    except (OSError, ValueError, AttributeError):
        return None
    return val if isinstance(val, float) else None


def sweep(root: Path) -> None:
    """Delete what saves left behind that were killed; only the holder of the run's lock may."""
    for folder in root.glob("step-*.tmp-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _entry(path: Path) -> dict[str, Any]:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            total.update(piece)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": total.hexdigest()}


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    _sync(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
