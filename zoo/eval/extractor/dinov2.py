from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Literal

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
    ):
        super().__init__()
        extractor = fidelity.module("feature_extractor_dinov2").FeatureExtractorDinoV2
        self.name = f"dinov2-{model}"
        try:
            with tensors_only():
                self.network = extractor(self.name, ["dinov2"])
        except (OSError, RuntimeError) as error:
            otherwise = f"it needs the network once; {fidelity.OTHERWISE}"
            raise DataError(f"cannot fetch DINOv2: {error}", fix=otherwise) from error

    def forward(self, pixels: Tensor, streams: Collection[str]) -> dict[str, Tensor]:
        """uint8 (B,3,H,W) -> features (B,n)."""
        return {"features": self.network(pixels)[0]}


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
