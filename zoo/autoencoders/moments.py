"""From the moments of an autoencoder's posterior to latents, and who made them."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

LEAST, MOST = -30.0, 20.0
"""Limits of the log variance (latent diffusion)."""


def posterior_sample(moments: Tensor, noise: Tensor | None, scale: float, shift: float = 0.0) -> Tensor:
    """Moments (B,[T,]2c,h,w) -> latents (B,[T,]c,h,w): scale (mean + deviation noise - shift); None: the mean.

    Source: Rombach et al. 2022 (2112.10752), section 3.1.
    """
    mean, log_variance = moments.float().chunk(2, dim=-3)
    if noise is not None:
        mean = mean + (0.5 * log_variance.clamp(LEAST, MOST)).exp() * noise
    return (mean - shift) * scale


def fingerprint(autoencoder: Any, device: torch.device) -> str:
    """16 digits that tell the weights of one autoencoder from those of another."""
    model = autoencoder.load(device) if hasattr(autoencoder, "load") else autoencoder
    total = hashlib.sha256()
    tensors = model.state_dict() if isinstance(model, nn.Module) else {}
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()[:16]
