from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.eval import fidelity
from zoo.registry import register


@register("extractor", "dinov2")
class DinoV2(nn.Module):
    """DINOv2, by torch-fidelity, which takes code and weights from its authors' repository through torch.hub.

    Source: Oquab et al. 2023 (2304.07193); as a metric: Stein et al. 2023 (2306.04675).
    """

    streams = ("features",)
    resize = "bilinear as in TensorFlow 1, to 224x224"

    def __init__(
        self,
        *,
        model: Literal["vit-s-14", "vit-b-14", "vit-l-14", "vit-g-14"] = "vit-l-14",  # its size
        code: str | None = None,  # a local copy of its authors' repository, which is run
        weights: str | None = None,  # a local copy of the published file of this size
    ):
        super().__init__()
        extractor = fidelity.module("feature_extractor_dinov2").FeatureExtractorDinoV2
        self.name = f"dinov2-{model}"
        try:
            with tensors_only(), local_hub(code, weights):
                self.network = extractor(self.name, ["dinov2"])
        except (OSError, RuntimeError) as error:
            otherwise = "it needs the network once, or extractor.code=FOLDER and extractor.weights=FILE"
            raise DataError(f"cannot fetch DINOv2: {str(error).splitlines()[0]}",
                            fix=f"{otherwise}; {fidelity.OTHERWISE}") from error

    def forward(self, pixels: Tensor, streams: Collection[str]) -> dict[str, Tensor]:
        """uint8 (B,3,H,W) -> features (B,n)."""
        return {"features": self.network(pixels)[0]}


@contextmanager
def local_hub(code: str | None, weights: str | None) -> Iterator[None]:
    """Within it torch.hub takes code from a folder and weights from a file of tensors, where they are given."""
    fetch = torch.hub.load

    def load(repository: str, name: str) -> Any:
        place, source = (str(Path(code).expanduser()), "local") if code else (repository, "github")
        network: Any = fetch(place, name, source=source, pretrained=weights is None)
        if weights:
            network.load_state_dict(fidelity.tensors(Path(weights).expanduser()))
        return network

    torch.hub.load = load  # torch-fidelity names the repository alone
    try:
        yield
    finally:
        torch.hub.load = fetch


@contextmanager
def tensors_only() -> Iterator[None]:
    """Within it torch.load reads tensors alone, whoever calls it."""
    key = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(key)
    os.environ[key] = "1"
    try:
        yield
    finally:
        os.environ.pop(key) if before is None else os.environ.update({key: before})
