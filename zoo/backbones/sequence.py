"""The sequence backbone: patches in a row, through a stack of blocks, back to an image."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from zoo.backbones.connections import Connections
from zoo.errors import at_least
from zoo.grid import Grid
from zoo.ops.precision import product_dtype
from zoo.parts import protocols as slot
from zoo.parts.protocols import Labels, Stream
from zoo.registry import Make, register


@register("backbone", "sequence")
class SequenceBackbone(nn.Module):
    """A column of blocks over one sequence of tokens; every choice is a slot.

    x (B,C,H,W) or (B,T,C,H,W), t (B,) in network time, y None, (B,) int64 or {name: value}
    -> the prediction, like x with `out_channels`.
    Errors: ShapeError if the image cannot be cut into patches, RecipeError if slots do not fit together.
    Source: DiM (arXiv 2405.14224, Figure 2); U-ViT and DiT are the same figure with other slots.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        out_channels: int,
        *,
        width: int,  # channels of a token
        depth: int,  # blocks
        patch: Make[slot.Patch] = "conv",
        conditioning: Make[slot.Conditioning] = "default",
        position: Make[slot.Position] = "none",
        enhancer: Make[slot.Enhancer] = "none",
        padding: Make[slot.Padding] = "none",
        scan: Make[slot.Scan] = "raster",
        mirror: bool = False,  # the second half of the blocks takes the scans in reverse
        tokens_at: Literal["front", "end"] = "front",  # of the sequence, for the prefix tokens
        mixer: Make[slot.Mixer] | list[Make[slot.Mixer]],
        cross: Make[slot.Cross] | list[Make[slot.Cross]] = "none",
        feedforward: Make[slot.Feedforward] | list[Make[slot.Feedforward]] = "none",
        norm: Make[slot.Norm],
        skip: Make[slot.Skip] = "none",
        modulation: Make[slot.Modulation] = "none",
        block: Make[slot.Block] = "prenorm",
        final_norm: Make[slot.Norm] = "none",
        head: Make[slot.Head] = "linear",
        init: Make[slot.Init] = "default",
    ):
        super().__init__()
        *frames, channels, height, image_width = shape
        self.depth, self.mirror = depth, mirror
        self.tokens_at: Literal["front", "end"] = tokens_at
        at_least(1, width, "backbone.width")
        at_least(1, depth, "backbone.depth")
        self.patch = patch(width, channels, out_channels)
        self.enhancer_in, self.enhancer_out = enhancer(width), enhancer(width)
        self.padding = padding(width)
        self.scan: Callable[..., Any] = scan
        self.skip = skip(width, depth)
        self.sources = {s for s in map(self.skip.source, range(depth)) if s is not None}
        columns = [_sublayers(i, width, depth, mixer=mixer, cross=cross, feedforward=feedforward) for i in range(depth)]
        self.modulation = modulation(width, max(map(len, columns)))
        self.blocks = nn.ModuleList(
            block(width, layers, norm, self.modulation.block(len(layers)), self.skip.block(i))
            for i, layers in enumerate(columns)
        )
        self.final_norm = final_norm(width)
        self.head = head(width, self.patch.values)
        readers = [name for layers in columns for layer in layers.values() for name in layer.source]
        self.conditioning = conditioning(width, (*readers, *self.modulation.source, *self.head.source))
        grid = self.patch.grid(height, image_width, *frames)
        self.position = position(width, grid, self.conditioning.count)
        init(self)
        for module in self.modules():
            if module is not self and hasattr(module, "reset"):
                module.reset(depth)

    def forward(self, x: Tensor, t: Tensor, y: Labels | None = None, *,
                taps: Collection[int] = ()) -> Tensor | tuple[Tensor, dict[int, Tensor]]:  # fmt: skip
        """The prediction; with `taps`, also the patches' features (B,cells,D) behind those blocks."""
        tokens, grid = self.patch(x if x.ndim == 5 else x.unsqueeze(1))
        prefix, cond = self.conditioning(t, y, self.patch.weight.dtype)
        prefix, tokens = self.position(prefix, tokens, grid)
        tokens = self.enhancer_in(tokens, grid)
        prefix, tokens, grid = self.padding(prefix, tokens, grid)
        grid = replace(grid, prefix=prefix.shape[1])
        shared = self.modulation(cond)
        tokens = torch.cat([prefix, tokens], 1)
        h, features = Stream(tokens.to(product_dtype(tokens))), {}  # under autocast as its products leave it
        del tokens
        connections = Connections(self.skip, self.sources)
        for i, (block, order) in enumerate(zip(self.blocks, self.orders(grid, x.device))):
            h, kept = connections.enter(i, h)
            h = connections.leave(i, h, block(h, kept, shared, order, grid, cond))
            if i in taps:
                features[i] = grid.crop(h.value)
        tokens, grid = grid.crop(self.final_norm(h)[1]), grid.content
        tokens = self.enhancer_out(tokens, grid)
        image = self.patch.fold(self.head(tokens, cond), grid).reshape(*x.shape[:-3], -1, *x.shape[-2:])
        return (image, features) if taps else image

    def orders(self, grid: Grid, device: torch.device) -> list[Tensor | None]:
        """The scan order of each block, (L,), (S,steps) or (K,S,steps) int32; None for all if none permutes."""
        return _orders(self.scan, grid.sizes, self.tokens_at, self.mirror, self.depth, str(device))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the inputs besides time, for instance ("label",)."""
        return self.conditioning.labels

    def null(self, y: Labels) -> Labels:
        """Null values in the form of `y`: the unconditional half of guidance."""
        return self.conditioning.null(y)

    def drop(self, y: Labels | None, mask: Tensor) -> dict[str, Tensor]:
        """`y` with null values where mask (B,) is true."""
        return self.conditioning.drop(y, mask)


def _sublayers(i: int, width: int, depth: int, **slots) -> dict[str, nn.Module]:
    """The sublayers of block i; a slot may be a list, cycled over the blocks, and `none` leaves it out."""
    chosen = {name: make[i % len(make)] if isinstance(make, list) else make for name, make in slots.items()}
    built = {name: make(width, depth) for name, make in chosen.items()}
    return {name: layer for name, layer in built.items() if layer is not None}


@torch.compiler.assume_constant_result  # so that a traced graph holds the orders, not how they are made
def _orders(*key: Any) -> list[Tensor | None]:
    return _cached_orders(*key)


@lru_cache(maxsize=256)
def _cached_orders(scan: Callable[..., Any], sizes: tuple[int, ...], tokens_at: Literal["front", "end"], mirror: bool,
                   depth: int, device: str) -> list[Tensor | None]:  # fmt: skip
    """The scan order of each block, on the device."""
    ready = [None if v is None else torch.from_numpy(v).to(device) for v in _visits(scan, Grid(*sizes), tokens_at)]
    steps = [min(i, depth - 1 - i) if mirror else i for i in range(depth)]
    return [ready[step % len(ready)] for step in steps]


def _visits(scan: Callable[..., Any], grid: Grid, tokens_at: Literal["front", "end"]) -> list[np.ndarray | None]:
    """The patterns of a scan as positions in the sequence; one None if none of them permutes."""
    patterns = scan(replace(grid, prefix=0, line_ends=0))
    visits: list[np.ndarray | None] = [_positions(grid, p, patterns[:i], tokens_at) for i, p in enumerate(patterns)]
    still = all(v is not None and np.array_equal(v, np.arange(grid.length)) for v in visits)
    return [None] if still else visits


def _positions(grid: Grid, pattern: np.ndarray, earlier: list[np.ndarray],
               tokens_at: Literal["front", "end"]) -> np.ndarray:  # fmt: skip
    """A pattern of cells as positions in the sequence; of several directions, each by itself.

    Tokens appended to the sequence come last, but first in a scan that runs through it backwards. Otherwise no cell
    would ever read them: a scan is causal.
    """
    if pattern.ndim == 3:
        each = [_positions(grid, p, list(pattern[:k]), tokens_at) for k, p in enumerate(pattern)]
        return np.stack([np.atleast_2d(p) for p in each])
    backwards = any(np.array_equal(pattern, other[..., ::-1]) for other in earlier)
    return grid.order(pattern, "front" if tokens_at == "end" and backwards else tokens_at)
