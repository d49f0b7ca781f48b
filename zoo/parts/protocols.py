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
from zoo.ops.add_norm import Row, gated_add


class Stream(NamedTuple):
    """The residual stream whose last branch is not added yet: what a fused add-norm kernel reads.

    x (B,L,D); y (B,L,D) the branch; gate (B,1,D) its factor, a tensor or a sum, None for 1. A block may leave in
    `entry` the sum with which it began: a long connection keeps that instead of adding the same up once more.
    """

    x: Tensor
    y: Tensor | None = None
    gate: Row | None = None
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

Modulated = tuple[Row | None, Row | None, Row | None]
"""(shift, scale, gate) of one sublayer: each None, a tensor (B,1,D), or a `RowSum` that the fused kernels add up.

Whoever computes with one takes `plain(row)` of `zoo.ops.add_norm` first, which is a tensor.
"""


class Patch(Protocol):
    """Images (B,T,C,H,W) to tokens (B,cells,D) and back. Given: width, channels, out_channels.

    size is a patch's side in pixels, values how many numbers the head gives for one, weight a parameter whose type is
    the model's. Errors: ShapeError for images that cannot be cut.
    """

    size: int
    values: int
    weight: Tensor

    def __call__(self, x_BTCHW: Tensor) -> tuple[Tensor, Grid]:
        """Tokens (B,cells,D) in raster order, frame by frame, and their grid."""
        ...

    def fold(self, values: Tensor, grid: Grid) -> Tensor:
        """Values (B,cells,values) of the patches to images (B,T,out,H,W)."""
        ...

    def grid(self, height: int, width: int, frames: int = 1) -> Grid:
        """The grid of images of this height and width in pixels. Raises: ShapeError."""
        ...


class Embed(Protocol):
    """One input of the network (B,...) to `count` tokens (B,count,D). Given: width.

    reads names the input, such as "label"; time has the name "time" and comes in network time, (B,) float32.
    """

    reads: str
    count: int

    def __call__(self, value: Tensor) -> Tensor:
        """The input (B,...) as tokens (B,count,D)."""
        ...

    def null(self, batch: int, device: torch.device) -> Tensor:
        """The input (B,...) that stands for none, for guidance. Raises: ShapeError if there is no such value."""
        ...


class Conditioning(Protocol):
    """Everything that conditions: P tokens in front (B,P,D), and embeddings by name, each (B,n,D).

    Given: width, and the names that other parts read. count is P, labels are the inputs besides time.
    """

    count: int
    labels: tuple[str, ...]

    def __call__(self, t: Tensor, y: Labels | None, dtype: torch.dtype) -> tuple[Tensor, Condition]:
        """The tokens in front (B,P,D), and all embeddings, of times t (B,) in network time and labels y."""
        ...

    def null(self, y: Labels) -> Labels:
        """Labels of the same form that stand for none."""
        ...

    def drop(self, y: Labels | None, mask: Tensor) -> dict[str, Tensor]:
        """Labels with those of the images where mask (B,) is true taken away."""
        ...


class Position(Protocol):
    """Adds positions to prefix (B,P,D) and patches (B,cells,D). Given: width, grid of patches, number of prefix tokens.

    The grid of a call may be another than the given one: positions follow it.
    """

    def __call__(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        """Both with positions added, (B,P,D) and (B,cells,D)."""
        ...


class Enhancer(Protocol):
    """Mixes neighbouring patches (B,cells,D) before and after the blocks; built twice. Given: width."""

    def __call__(self, tokens: Tensor, grid: Grid) -> Tensor:
        """Patches (B,cells,D), as many as before."""
        ...


class Padding(Protocol):
    """Puts pads and separators (B,n,D) in, once, before the blocks. Given: width.

    Pads are cells of a larger grid, or line ends behind the cells; separators make the prefix longer.
    """

    def __call__(self, prefix: Tensor, tokens: Tensor, grid: Grid) -> tuple[Tensor, Tensor, Grid]:
        """Prefix (B,P',D), cells and line ends (B,cells',D), and the grid that says which is which."""
        ...


class Scan(Protocol):
    """A function of the grid: the orders in which cells are visited, one a block, cycled.

    An order is (cells,), or (S,steps) for S sequences that know nothing of each other, or (K,S,steps) for
    K directions that a mixer scans in one block.
    """

    def __call__(self, grid: Grid) -> list[np.ndarray]:
        """Orders, each with the number of every cell (raster order, frame by frame, pads included) exactly once."""
        ...


class Mixer(Protocol):
    """Lets tokens exchange information: (B,L,D) -> (B,L,D). Given: width, depth."""

    def __call__(self, n: Tensor, order: Tensor | None, grid: Grid, cond: Condition) -> Tensor:
        """The branch (B,L,D) of normalised tokens n (B,L,D), in their places.

        order (L,), (S,steps) or (K,S,steps) int32 says which position each step reads and writes; None is 0, 1, 2 ...
        """
        ...


class Cross(Mixer, Protocol):
    """A sublayer that reads embeddings of `source`: (B,L,D) -> (B,L,D). Given: width, depth."""

    source: tuple[str, ...]


class Feedforward(Mixer, Protocol):
    """A sublayer that works on each token alone: (B,L,D) -> (B,L,D). Given: width, depth."""


class Norm(Protocol):
    """Settles the stream (B,L,D) and normalises it. Given: width."""

    def __call__(self, h: Stream, shift: Row | None = None, scale: Row | None = None) -> tuple[Tensor, Tensor]:
        """The settled stream, and its norm times (1 + scale) plus shift, both (B,L,D); see `Modulated` for these."""
        ...


class Modulation(Protocol):
    """Shift, scale and gate of every sublayer, each (B,1,D), from the embeddings. Given: width, sublayers a block."""

    source: tuple[str, ...]

    def __call__(self, cond: Condition) -> Tensor | None:
        """What all blocks share, (B,...), in a form that the part's own blocks know; None for nothing."""
        ...

    def block(self, n: int) -> nn.Module:
        """A module for a block of n sublayers: what is shared -> `Modulated` of each."""
        ...


class Skip(Protocol):
    """Long connections between blocks, of the stream (B,L,D). Given: width, depth.

    Errors: RecipeError for a depth that has no middle.
    """

    keeps_sum: bool  # what `keep` keeps is the stream itself, which the next block's norm adds up anyway

    def source(self, i: int) -> int | None:
        """The block whose output block i reads, or None."""
        ...

    def keep(self, h: Stream) -> tuple[Stream, Tensor]:
        """The stream to go on with, and what is kept of it, (B,L,D)."""
        ...

    def block(self, i: int) -> nn.Module | None:
        """A module for block i: (stream, kept (B,L,D)) -> stream; None if it reads nothing."""
        ...


class Block(Protocol):
    """One residual block of a stream (B,L,D); the unit of compilation, sharding and recomputation.

    Given: width, its sublayers by name, how to make a norm, the blocks of modulation and skip (None without).
    """

    def __call__(self, h: Stream, kept: Tensor | None, shared: Tensor | None, order: Tensor | None, grid: Grid,
                 cond: Condition) -> Stream:  # fmt: skip
        """The stream behind the block; kept (B,L,D) is an early block's, shared is what `Modulation` gave."""
        ...


class Head(Protocol):
    """Patches (B,cells,D) to the values of their pixels (B,cells,values). Given: width, values."""

    source: tuple[str, ...]

    def __call__(self, tokens: Tensor, cond: Condition) -> Tensor:
        """Patches (B,cells,D) to (B,cells,values)."""
        ...


class Init(Protocol):
    """A function that initialises a whole backbone; parts with `reset(depth)` then set their own."""

    def __call__(self, backbone: nn.Module) -> None:
        """Sets the parameters in place."""
        ...
