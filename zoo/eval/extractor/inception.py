from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor, nn

from zoo.errors import DataError
from zoo.eval import fidelity
from zoo.eval.images import file_digest
from zoo.registry import register

PUBLISHED = "6726825d"
"""How the SHA-256 of the published file begins; its name says so too."""
CHANNELS = 7


@register("extractor", "inception")
class Inception(nn.Module):
    """The Inception network of FID, as torch-fidelity converts it from TensorFlow; the only one whose figures are FID.

    Without a path the published weights are fetched once into torch's cache. Other weights get another name.

    Source: Heusel et al. 2017 (1706.08500); the map of sFID: Nash et al. 2021 (2103.03841), the first seven
    channels of the first convolution in the fourth block at 17 x 17.
    """

    streams = ("features", "spatial", "logits")
    resize = "bilinear as in TensorFlow 1, to 299x299"

    def __init__(
        self,
        *,
        weights: str | None = None,  # a local copy of weights-inception-2015-12-05-6726825d.pth
    ):
        super().__init__()
        extractor = fidelity.module("feature_extractor_inceptionv3")
        url = extractor.URL_INCEPTION_V3
        path = Path(weights).expanduser() if weights else fidelity.published(url, url.rsplit("/", 1)[-1], PUBLISHED)
        self.content = _digest(path)
        self.standard = self.content.startswith(PUBLISHED)
        self.name = "inception" if self.standard else f"inception_{self.content[:8]}"
        self.network = extractor.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=_tensors(path))

    def forward(self, pixels: Tensor, streams: Collection[str]) -> dict[str, Tensor]:
        """uint8 (B,3,H,W) -> features (B,2048), spatial (B,17*17*7), logits (B,1008)."""
        found: dict[str, Tensor] = {}

        def keep(module: nn.Module, given: tuple, x: Tensor) -> None:
            found["spatial"] = x[:, :CHANNELS].permute(0, 2, 3, 1).flatten(1)

        hook = self.network.Mixed_6d.branch1x1.conv.register_forward_hook(keep)
        try:
            found["features"], found["logits"] = self.network(pixels)
        finally:
            hook.remove()
        return found


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        raise DataError(f"cannot read the weights of Inception: {error}", where=str(path)) from error


def _tensors(path: Path) -> io.BytesIO:
    """The file again, made of nothing but its tensors: torch-fidelity reads it without `weights_only`."""
    buffer = io.BytesIO()
    torch.save(fidelity.tensors(path), buffer)
    buffer.seek(0)
    return buffer
