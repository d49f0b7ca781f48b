"""Which weights file a run folder, a checkpoint folder or a file path stands for."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from zoo.errors import CheckpointError

STEP = re.compile(r"step-\d+")


def weights_file(source: Path, ema: bool = True) -> Path:
    """The weights file behind `source`: itself, or the newest valid one of a run or a checkpoint.

    Args:
        source: a file, a checkpoint folder (it has MANIFEST.json), a run folder (it has checkpoints/) or a
            folder with `model.safetensors` alone.
        ema: prefer averaged weights where there are any.

    Raises: CheckpointError with the reason for every checkpoint that was refused.
    """
    if source.is_file() or not source.exists():
        return source
    if (source / "MANIFEST.json").exists():
        return checkpoint_file(source, ema)
    if (source / "checkpoints").is_dir():
        return _newest(source / "checkpoints", ema)
    if (source / "model.safetensors").exists():
        return source / "model.safetensors"
    raise CheckpointError("no weights here", where=str(source),
                          fix="give a .safetensors file, a run folder, or a folder checkpoints/step-...")


def _newest(folder: Path, ema: bool) -> Path:
    steps = sorted((p for p in folder.iterdir() if STEP.fullmatch(p.name)), key=lambda p: int(p.name[5:]))
    refused = []
    for step in reversed(steps):
        try:
            return checkpoint_file(step, ema)
        except CheckpointError as error:
            refused.append(str(error))
    reasons = f": {'; '.join(refused)}" if refused else ", the run has not saved yet"
    raise CheckpointError(f"no usable checkpoint{reasons}", where=str(folder))


def checkpoint_file(folder: Path, ema: bool) -> Path:
    """The weights file of one checkpoint, verified against its manifest.

    Raises: CheckpointError if the manifest is missing or does not match.
    """
    files = manifest_files(folder)
    name = "ema.safetensors" if ema and "ema.safetensors" in files else "model.safetensors"
    if name not in files:
        raise CheckpointError(f"its manifest lists no {name}", where=str(folder))
    _verify(folder / name, *files[name])
    return folder / name


def manifest_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Name -> (bytes, sha256) of the files in a checkpoint."""
    try:
        listed = json.loads((folder / "MANIFEST.json").read_bytes())["files"]
        return {str(f["name"]): (int(f["bytes"]), str(f["sha256"])) for f in listed}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"unreadable MANIFEST.json ({type(error).__name__})", where=str(folder)) from None


def _verify(path: Path, size: int, sha256: str) -> None:
    if not path.is_file():
        raise CheckpointError("missing", where=str(path))
    if path.stat().st_size != size:
        raise CheckpointError(f"{path.stat().st_size} bytes, the manifest says {size}", where=str(path))
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            total.update(piece)
    if total.hexdigest() != sha256:
        raise CheckpointError("its sha256 is not the manifest's", where=str(path))
