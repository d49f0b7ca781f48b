"""torch-fidelity as a source of extractors: its modules, and their weights without unpickling anything."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from zoo.errors import DataError, ZooError

OTHERWISE = "extractor efficientnet_lite0 needs no network"


def module(name: str) -> Any:
    """`torch_fidelity.<name>`. Raises: ZooError if it is not installed."""
    try:
        return importlib.import_module(f"torch_fidelity.{name}")
    except ImportError as error:
        raise ZooError(f"this extractor needs torch-fidelity: {error}", where="evaluation",
                       fix='pip install "backbone-zoo[metrics]"') from error


def published(url: str, name: str, sha256: str) -> Path:
    """The file `name` in torch's cache, fetched there if need be; `sha256` may be its beginning.

    Raises: DataError if it cannot be fetched, or is not what was published.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=sha256)
        except (OSError, RuntimeError) as error:
            raise DataError(f"cannot fetch {url}: {error}",
                            fix=f"fetch it elsewhere and set extractor.weights=FILE; {OTHERWISE}") from error
    return path


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """What a file of tensors holds; nothing in it is run.

    Raises: DataError if it is missing, damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on damaged or hostile files
        raise DataError(f"not a file of tensors: {str(error).splitlines()[0]}", where=str(path)) from error
