from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from zoo.errors import DataError
from zoo.eval import fidelity
from zoo.registry import register


@register("extractor", "clip")
class Clip(nn.Module):
    """The image half of CLIP, by torch-fidelity; weights are fetched once into torch's cache, or given.

    Weights are a TorchScript archive, which torch reads without unpickling.

    Source: Radford et al. 2021 (2103.00020); as a metric: Kynkaanniemi et al. 2022 (2203.06026).
    """

    streams = ("features",)

    def __init__(
        self,
        *,
        model: Literal["vit-b-32", "vit-b-16", "vit-l-14", "vit-l-14-336px", "rn50", "rn101"] = "vit-b-32",  # its size
        weights: str | None = None,  # a local copy of the published TorchScript archive
    ):
        super().__init__()
        clip = fidelity.module("feature_extractor_clip")
        self.name = f"clip-{model}"
        url, sha256 = clip.MODEL_URLS[self.name], clip.MODEL_METADATA[self.name]["hash"]
        path = Path(weights).expanduser() if weights else fidelity.published(url, f"{self.name}-{sha256}.pt", sha256)
        try:
            self.network = clip.FeatureExtractorCLIP(self.name, ["clip"], feature_extractor_weights_path=str(path))
        except (RuntimeError, ValueError, OSError) as error:
            raise DataError(f"not CLIP's published archive: {str(error).splitlines()[0]}", where=str(path)) from error
        self.resize = f"bilinear as in TensorFlow 1, to {self.network.resolution}x{self.network.resolution}"

    def forward(self, pixels: Tensor, streams: Collection[str]) -> dict[str, Tensor]:
        """uint8 (B,3,H,W) -> features (B,n)."""
        return {"features": self.network(pixels)[0]}
