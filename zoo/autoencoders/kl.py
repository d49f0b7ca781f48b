"""The autoencoder of latent diffusion, as the library diffusers has it."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from zoo.autoencoders.moments import posterior_sample
from zoo.errors import CheckpointError, ShapeError, ZooError
from zoo.registry import register


@register("autoencoder", "kl", aliases=("vae",))
class KL:
    """diffusers' AutoencoderKL, read when it is first needed; always float32, one image at a time.

    One at a time, an image does not depend on its batch, and memory on the image alone. Needs the extra `vae`.

    Errors: CheckpointError if it cannot be had, or is not the one that the fields describe.
    Source: Rombach et al. 2022 (2112.10752), section 3.1.
    """

    def __init__(
        self,
        *,
        path: str = "stabilityai/sd-vae-ft-ema",  # a folder with config.json and safetensors, or a hub id
        subfolder: str | None = None,  # inside it, for instance vae in a whole pipeline
        scale: float | None = None,  # of the latents; None: the autoencoder's own (0.18215)
        factor: int = 8,  # pixels a latent, along each side
        latents: int = 4,  # channels of the latents
        tile: int = 1024,  # side in pixels of the blended tiles in which larger images are coded; 0: never
    ):
        self.path, self.subfolder, self.given_scale = path, subfolder, scale
        self.factor, self.latents, self.tile = factor, latents, tile
        if factor < 1 or tile % factor:
            raise ZooError(f"tile {tile} with factor {factor}", where="autoencoder kl", fix="make tile a multiple")
        self.model: Any = None

    def channels(self, channels: int) -> int:
        """Channels of the latents of images with `channels`."""
        return self.latents

    def load(self, device: torch.device) -> Any:
        """The network itself, on `device`. Raises: CheckpointError, ZooError."""
        if self.model is None:
            self.model = self._read()
        return self.model.to(device)

    def moments(self, images: Tensor) -> Tensor:
        """(B,[T,]C,H,W) -> (B,[T,]2c,h,w): mean and log variance of the latents, unscaled, as features are published.

        Raises: ShapeError if a side is no multiple of the factor.
        """
        if any(side % self.factor for side in images.shape[-2:]):
            size = "x".join(map(str, images.shape[-2:]))
            raise ShapeError(f"images of {size} are no multiple of {self.factor}", where="autoencoder kl")
        model = self.load(images.device)
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            found = model.encode(images.float().flatten(0, -4)).latent_dist.parameters
        return found.unflatten(0, images.shape[:-3])

    def sample(self, moments: Tensor, noise: Tensor | None = None) -> Tensor:
        """(B,[T,]2c,h,w) -> latents (B,[T,]c,h,w): scale (mean + deviation noise - shift); no noise: the mean."""
        return posterior_sample(moments, noise, self.scale, self.shift)

    def encode(self, images: Tensor) -> Tensor:
        """(B,[T,]C,H,W) in [-1, 1] -> the mean latents (B,[T,]c,h,w); frames of a video one by one."""
        return self.sample(self.moments(images))

    def decode(self, latents: Tensor) -> Tensor:
        """(B,[T,]c,h,w) -> (B,[T,]C,H,W), about [-1, 1]; frames of a video one by one."""
        model = self.load(latents.device)
        with torch.no_grad(), torch.autocast(latents.device.type, enabled=False):
            images = model.decode((latents.float() / self.scale + self.shift).flatten(0, -4)).sample
        return images.unflatten(0, latents.shape[:-3])

    @property
    def scale(self) -> float:
        """Factor of the latents."""
        return self._config.scaling_factor if self.given_scale is None else self.given_scale

    @property
    def shift(self) -> float:
        """What is taken from the latents before they are scaled; 0 for most."""
        return getattr(self._config, "shift_factor", None) or 0.0

    @property
    def _config(self) -> Any:
        return (self.model or self.load(torch.device("cpu"))).config

    def _read(self) -> Any:
        read = partial(_library().from_pretrained, use_safetensors=True, low_cpu_mem_usage=False)  # never a pickle
        try:
            model = read(self.path, subfolder=self.subfolder)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"the autoencoder cannot be read: {_first_line(error)}", where=self.path,
                                  fix="autoencoder.path= a folder with config.json and safetensors") from None
        self._check(model)
        model.eval().requires_grad_(False)
        model.use_slicing = True
        if self.tile:
            model.use_tiling = True
            model.tile_sample_min_size, model.tile_latent_min_size = self.tile, self.tile // self.factor
        return model

    def _check(self, model: Any) -> None:
        factor, latents = 2 ** (len(model.config.block_out_channels) - 1), model.config.latent_channels
        if (factor, latents) != (self.factor, self.latents):
            what = f"this autoencoder has factor {factor} and {latents} channels of latents"
            raise CheckpointError(f"{what}, not {self.factor} and {self.latents}", where=self.path,
                                  fix=f"autoencoder.factor={factor} autoencoder.latents={latents}")


def _library() -> Any:
    try:
        from diffusers import AutoencoderKL
    except ImportError as error:
        raise ZooError(f"latents need diffusers: {_first_line(error)}", where="autoencoder kl",
                       fix="pip install 'backbone-zoo[vae]'") from None
    return AutoencoderKL


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
