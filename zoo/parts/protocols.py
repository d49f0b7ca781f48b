"""What the slots of a backbone expect from a part; parts need not inherit from these.

Legend for shapes: B batch, T frames, C channels, H W image size, L tokens, P prefix tokens, D width,
n tokens of one embedding. Before `*` in a part's `__init__` stands what the skeleton gives, after it
what a recipe may set, each with a literal default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from zoo.grid import Grid
from zoo.ops.add_norm import gated_add


class Stream(NamedTuple):
    """The residual stream whose last branch is not added yet: what a fused add-norm kernel reads.

    x (B,L,D); y (B,L,D) the branch; gate (B,1,D) its factor, None for 1. A block may leave in `entry` the sum with
    which it began: a long connection keeps that instead of adding the same up once more.
    """

    x: Tensor
    y: Tensor | None = None
    gate: Tensor | None = None
    entry: Tensor | None = None

    @property
    def value(self) -> Tensor:
        """x + gate * y, (B,L,D)."""
        return self.x if self.y is None else gated_add(self.x, self.y, self.gate)

    def settled(self) -> Stream:
        """The same stream with its branch added."""
        return self if self.y is None else Stream(self.value)


class Condition(dict[str, Tensor]):
    """Embeddings by name, each (B,n,D)."""

    def sum(self, names: Sequence[str]) -> Tensor:
        """The sum over `names`, each averaged over its tokens: (B,D)."""
        return torch.stack([self[name].mean(1) for name in names]).sum(0)

    def cat(self, names: Sequence[str]) -> Tensor:
        """The tokens of `names` one after another: (B,P,D)."""
        return torch.cat([self[name] for name in names], 1)


Labels = Tensor | Mapping[str, Tensor]
"""Of a single input, (B,...), or of several by name."""

Modulated = tuple[Tensor | None, Tensor | None, Tensor | None]
"""(shift, scale, gate) of one sublayer, each (B,1,D) or None."""


class Patch(Protocol):
    """Images to tokens and back. Given: width, channels, out_channels."""

    size: int
    values: int
    weight: Tensor

    def __call__(self, x_BTCHW: Tensor) -> tuple[Tensor, Grid]: ...
    def fold(self, values: Tensor, grid: Grid) -> Tensor: ...
    def grid(self, height: int, width: int, frames: int = 1) -> Grid: ...


class Embed(Protocol):
    """One input of the network to `count` tokens. Given: width."""

    reads: str
    count: int

    def __call__(self, value: Tensor) -> Tensor: ...
    def null(self, batch: int, device: torch.device) -> Tensor: ...


class Conditioning(Protocol):
    """Everything that conditions: tokens in front, and embeddings by name."""

    count: int
    labels: tuple[str, ...]

    def __call__(self, t: Tensor, y: Labels | None, dtype: torch.dtype) -> tuple[Tensor, Condition]: ...
    def null(self, y: Labels) -> Labels: ...
    def drop(self, y: Labels | None, mask: Tensor) -> dict[str, Tensor]: ...


class Position(Protocol):
    """Adds positions to prefix and patches. Given: width, grid of patches, number of prefix tokens."""

    def __call__(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]: ...


class Enhancer(Protocol):
    """Mixes neighbouring patches before and after the blocks; built twice. Given: width."""

    def __call__(self, tokens: Tensor, grid: Grid) -> Tensor: ...


class Padding(Protocol):
    """Puts pads and separator tokens in, once, before the blocks. Given: width."""

    def __call__(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]: ...


class Scan(Protocol):
    """A function of the grid: the orders in which cells are visited, one a block, cycled.

    An order is (cells,), or (S,steps) for S sequences that know nothing of each other, or (K,S,steps) for
    K directions that a mixer scans in one block.
    """

    def __call__(self, grid: Grid) -> list[np.ndarray]: ...


class Mixer(Protocol):
    """Lets tokens exchange information: (B,L,D) -> (B,L,D). Given: width, depth."""

    def __call__(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor: ...


class Cross(Mixer, Protocol):
    """A sublayer that reads embeddings of `source`."""

    source: tuple[str, ...]


class Feedforward(Mixer, Protocol):
    """A sublayer that works on each token alone."""


class Norm(Protocol):
    """Settles the stream and normalises it. Given: width."""

    def __call__(self, h: Stream, shift: Tensor | None = None, scale: Tensor | None = None) -> tuple[Tensor, Tensor]: ...  # noqa: E501


class Modulation(Protocol):
    """Shift, scale and gate of every sublayer from the embeddings. Given: width, sublayers a block."""

    source: tuple[str, ...]

    def __call__(self, cond: Condition) -> Tensor | None: ...
    def block(self, n: int) -> nn.Module: ...


class Skip(Protocol):
    """Long connections between blocks. Given: width, depth."""

    keeps_sum: bool  # what `keep` keeps is the stream itself, which the next block's norm adds up anyway

    def source(self, i: int) -> int | None: ...
    def keep(self, h: Stream) -> tuple[Stream, Tensor]: ...
    def block(self, i: int) -> nn.Module | None: ...


class Block(Protocol):
    """One residual block; the unit of compilation, sharding and recomputation."""

    def __call__(self, h: Stream, kept: Tensor | None, shared: Tensor | None, order: Tensor | None, grid: Grid,
                 cond: Condition) -> Stream: ...  # fmt: skip


class Head(Protocol):
    """Tokens to the values of their patches. Given: width, values."""

    source: tuple[str, ...]

    def __call__(self, tokens: Tensor, cond: Condition) -> Tensor: ...


class Init(Protocol):
    """A function that initialises a whole backbone; parts with `reset(depth)` then set their own."""

    def __call__(self, backbone: nn.Module) -> None: ...
