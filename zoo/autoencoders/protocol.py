"""What stands between images and what the backbone sees."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor


class Autoencoder(Protocol):
    """Images (B,C,H,W) in [-1, 1] and their latents (B,c,H/factor,W/factor); frames (B,T,...) of videos one by one."""

    factor: int  # pixels a latent, along each side

    def channels(self, channels: int) -> int:
        """Channels of the latents of images with `channels`."""
        ...

    def load(self, device: torch.device) -> object:
        """Be ready to encode and decode there. Raises: ZooError if that cannot be."""
        ...

    def encode(self, images: Tensor) -> Tensor:
        """Images -> latents, at the scale that the backbone sees."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images."""
        ...
