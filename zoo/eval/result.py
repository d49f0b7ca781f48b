"""Figures and the protocol by which they were measured: `eval.json`."""

from __future__ import annotations

import json
import math
import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from zoo import __version__
from zoo.errors import DataError
from zoo.weights.file import replacing

FORMAT = 1
FILE = "eval.json"
PACKAGES = ("torch", "numpy", "pillow", "torch-fidelity", "efficientnet-lite-pytorch")


@dataclass(frozen=True)
class Result:
    """metrics: figure -> value; protocol: everything they depend on; notes: what a reader should know."""

    metrics: dict[str, float]
    protocol: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def save(self, path: str | Path) -> Path:
        """Write `eval.json`, whole or not at all; into a folder, or as the file that is named. Returns the file."""
        path = Path(path)
        path = path if path.suffix else path / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"format": FORMAT, "metrics": _written(self.metrics), "protocol": self.protocol, "notes": self.notes}
        with replacing(path) as aside:
            aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read an `eval.json`, or the one in a folder. Raises: DataError if there is none."""
        path = Path(path) / FILE if Path(path).is_dir() else Path(path)
        try:
            content = json.loads(path.read_bytes())
            figures = {str(k): math.nan if v is None else float(v) for k, v in content["metrics"].items()}
            return cls(figures, dict(content["protocol"]), list(content.get("notes", [])))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"not a result of zoo-eval ({type(error).__name__})", where=str(path),
                            fix="give an eval.json, or a folder that holds one") from error


def versions() -> dict[str, str]:
    """Of everything that may change a figure."""
    found = {"python": platform.python_version(), "zoo": __version__}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _written(metrics: dict[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
