"""No autoencoder: the model works on pixels."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.registry import register


@register("autoencoder", "identity", aliases=("none",))
class Identity:
    """Pixels are the latents; images (B,[T,]C,H,W) in [-1, 1] either way."""

    factor = 1

    def channels(self, channels: int) -> int:
        """Channels of the latents of images with `channels`."""
        return channels

    def load(self, device: torch.device) -> None:
        """Nothing is needed."""

    def encode(self, images: Tensor) -> Tensor:
        """(B,[T,]C,H,W) -> the same."""
        return images

    def decode(self, latents: Tensor) -> Tensor:
        """(B,[T,]C,H,W) -> the same."""
        return latents
