"""Results as files, and what others' code was measured to do, for comparison."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from zoo.errors import ZooError

Record = dict[str, Any]
KINDS = ("step", "train", "ops", "versus")


def save(result: Record, folder: Path, name: str) -> Path:
    """Write `bench_<kind>_<name>.json`; one record a line, so that two runs can be compared by eye."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"bench_{result['kind']}_{name}.json"
    torn = path.with_name(f".{path.name}.tmp")
    torn.write_text(as_text(result), encoding="utf-8")
    torn.replace(path)
    return path


def as_text(result: Record) -> str:
    """JSON, a line an entry of each list of records."""
    parts = []
    for key, value in result.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            body = "[\n" + ",\n".join(f"  {json.dumps(_plain(entry))}" for entry in value) + "\n ]"
        else:
            body = json.dumps(_plain(value))
        parts.append(f" {json.dumps(key)}: {body}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def load(path: Path) -> Record:
    """A result that was saved.

    Raises: ZooError if the file is none.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ZooError(f"cannot be read as a result: {error}", where=str(path)) from error
    if not isinstance(result, dict) or result.get("kind") not in KINDS:
        raise ZooError("this is no result of zoo-bench", where=str(path), fix="write it anew with zoo-bench")
    return result


@cache
def quoted() -> Record:
    """What other code was measured to do on one H200; the file says by whom, when and how."""
    return json.loads(files("zoo.bench").joinpath("quoted.json").read_text(encoding="utf-8"))


def comparable(result: Record) -> Record:
    """The quoted figures, if the result is from the same kind of device; else an empty record."""
    return quoted() if quoted()["device"] in result["machine"]["device"] else {}


def _plain(value: Any) -> Any:
    """The value with numbers of six digits, and nothing that JSON lacks."""
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
