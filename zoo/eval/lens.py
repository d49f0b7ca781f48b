"""An extractor with a name, an identity and a device: what the rest of evaluation looks through."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from zoo.builder import factory
from zoo.errors import RecipeError, ZooError
from zoo.eval import clips
from zoo.recipe.check import Checker
from zoo.recipe.node import node_of, plain
from zoo.signature import REQUIRED, Type
from zoo.weights.file import digest

Wanted = str | Mapping[str, Any]
"""The name of a part, or {use: name, field: value}."""


class Lens:
    """`lens(pixels, streams)`: uint8 (B,H,W,C), or clips (B,T,H,W,C), -> streams (B,n) float32, on the CPU.

    Raises: ZooError if the extractor's package or weights are missing.
    """

    def __init__(self, wanted: Wanted, device: torch.device):
        node = resolved("extractor", wanted)
        self.module: nn.Module = factory("extractor", node)().eval().requires_grad_(False)
        self.name: str = self.module.name  # type: ignore[assignment]
        self.standard = node["use"] == "inception" and bool(self.module.standard)
        self.streams: tuple[str, ...] = tuple(self.module.streams)  # type: ignore[arg-type]
        if "features" in self.streams:
            self.streams += clips.STREAMS
        self.resize: str = self.module.resize  # type: ignore[assignment]
        content = getattr(self.module, "content", None) or digest(self.module.state_dict(), "", "")
        self.sha256 = hashlib.sha256(json.dumps([self.name, self.resize, content]).encode()).hexdigest()
        self.device = device
        self.module.to(device)

    @property
    def identity(self) -> dict[str, str]:
        """Name and content of the extractor."""
        return {"name": self.name, "sha256": self.sha256}

    @torch.no_grad()
    def __call__(self, pixels: np.ndarray, streams: Collection[str]) -> dict[str, np.ndarray]:
        planes = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).movedim(-1, -3)
        planes = planes.expand(*planes.shape[:-3], 3, *planes.shape[-2:]).contiguous()  # grey is red, green and blue
        if planes.ndim == 5:
            found = clips.clip_streams(self._features, planes, streams)
        else:
            found = self.module(planes, streams)
        return {stream: found[stream].float().cpu().numpy() for stream in streams}

    def _features(self, planes: torch.Tensor) -> torch.Tensor:
        return self.module(planes, {"features"})["features"]

    def check(self, streams: Collection[str], where: str) -> None:
        """Raises: ZooError if the extractor does not give these streams."""
        for stream in sorted(streams):
            if stream not in self.streams:
                raise ZooError(f"{self.name} has no {stream}", where=where, allowed=self.streams,
                               fix="take another extractor for this metric")

    def called(self, figure: str, inception: str) -> str:
        """The name of a figure: the well-known one for the published Inception network, else with our name."""
        return inception if self.standard else f"{figure}-{self.name}"


def resolved(kind: str, wanted: Wanted) -> dict[str, Any]:
    """A part node with all its fields, checked like a recipe's.

    Raises: RecipeError, PartError.
    """
    checker = Checker()
    node = checker.value(node_of(wanted, "evaluation"), Type("part", (kind,)), REQUIRED, kind, 1)
    if checker.errors:
        raise RecipeError("\n".join(checker.errors))
    return plain(node)
