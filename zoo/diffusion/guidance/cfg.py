from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zoo.diffusion.gaussian import Gaussian, as_time, per_image
from zoo.diffusion.protocols import Labels
from zoo.errors import ShapeError, ZooError
from zoo.registry import register

if TYPE_CHECKING:
    from zoo.diffusion.denoiser import Denoiser

CONVENTIONS = {"dit": 0.0, "dim_paper": 0.0, "dim": 1.0, "uvit": 1.0, "ho_salimans": 1.0}
"""What is added to the number that is written there: where 1 is off, nothing; where 0 is off, 1."""


@register("guidance", "cfg", aliases=("classifier_free",))
@dataclass(kw_only=True)
class ClassifierFree:
    """Classifier-free guidance: u + scale (c - u), one forward of the doubled batch; scale 1 is off.

    DiT writes the same scale. U-ViT's and DiM's code and Ho & Salimans write c + s (c - u), whose s is scale - 1:
    see `written_as`. Variance channels stay those of the conditional half.

    Sources: Ho & Salimans 2022 (2207.12598), Eq. 6; interval: Kynkaanniemi et al. 2024 (2404.07724).
    """

    scale: float = 1.0  # 1: off, and no second forward
    interval: list[float] | None = None  # [low, high] in t where it acts; None: everywhere
    channels: int | None = None  # guide the first channels only (3 in published DiT and DiS); None: all

    def __post_init__(self):
        bad = self.interval is not None and (len(self.interval) != 2 or not self.interval[0] <= self.interval[1])
        if bad:
            raise ZooError(
                f"interval {self.interval}", where="guidance cfg", fix="give [low, high] in t, such as [0.1, 0.8]"
            )
        if self.channels is not None and self.channels < 1:
            raise ZooError(f"channels {self.channels}", where="guidance cfg", fix="give 1 or more, or null for all")

    @classmethod
    def written_as(cls, convention: str, number: float, **fields: Any) -> ClassifierFree:
        """The guidance that a paper or its code gives this number; `CONVENTIONS` names them.

        Raises: ZooError for a convention that is not there.
        """
        if convention not in CONVENTIONS:
            raise ZooError(
                f"convention {convention!r}", where="guidance cfg", allowed=list(CONVENTIONS), given=convention
            )
        return cls(scale=CONVENTIONS[convention] + number, **fields)

    def check(self, process: Gaussian, y: Labels) -> None:
        """Raises: ZooError if there are no labels to be guided by."""
        if y is None and self.scale != 1:
            raise ZooError("guidance needs labels", where="guidance cfg", fix="give y, or use guidance none")

    def __call__(self, denoiser: Denoiser, x: Tensor, t: float | Tensor) -> Tensor:
        """The guided network output at (x, t)."""
        scale = self.scale_at(t)
        if scale.ndim == 0 and scale == 1:
            return denoiser.output(x, t, denoiser.y)
        count = x.shape[-3] if self.channels is None else self.channels
        if count > x.shape[-3]:
            raise ShapeError(
                f"channels {count} of images with {x.shape[-3]}", where="guidance cfg", fix="guide fewer channels"
            )
        both = double(as_time(t)) if as_time(t).ndim else t
        c, u = denoiser.output(torch.cat([x, x]), both, pair(denoiser.y, denoiser.null)).chunk(2)
        guided = u.narrow(-3, 0, count) + per_image(scale, x) * (c - u).narrow(-3, 0, count)
        return torch.cat([guided, c.narrow(-3, count, c.shape[-3] - count)], dim=-3)

    def scale_at(self, t: float | Tensor) -> Tensor:
        """The scale at each time, () or (B,)."""
        time = as_time(t)
        if self.interval is None:
            return torch.full((), self.scale, dtype=time.dtype)
        inside = (time >= self.interval[0]) & (time <= self.interval[1])
        return torch.where(inside, self.scale, 1.0).to(time.dtype)


def double(value: Tensor) -> Tensor:
    """A batch twice."""
    return torch.cat([value, value])


def pair(y: Labels, null: Labels) -> Labels:
    """Labels of the conditional half, then of the unconditional half."""
    if isinstance(y, dict) and isinstance(null, dict):
        return {name: torch.cat([value, null[name]]) for name, value in y.items()}
    if isinstance(y, Tensor) and isinstance(null, Tensor):
        return torch.cat([y, null])
    kinds = f"{type(y).__name__} and {type(null).__name__}"
    raise ZooError(f"labels and null labels differ in kind: {kinds}", where="guidance cfg")
