"""A mixer between its first product and its scan as one kernel (cuda_front.cu), where nothing is kept for backward.

For Hopper, of whose tensor cores and clusters of blocks it is made, and bfloat16.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zoo.ops import directions
from zoo.ops import order as orders
from zoo.ops.causal_conv import naive
from zoo.ops.causal_conv.inputs import Inputs as ConvInputs
from zoo.ops.cuda import driver, selftest
from zoo.ops.cuda.driver import KINDS
from zoo.ops.dispatch import Problem, choose
from zoo.ops.selective_scan.cuda_plan import multiprocessors

SOURCE = Path(__file__).with_name("cuda_front.cu")
CAPABILITY = (9, 0)
CHUNK = 64  # channels in work at a time
ROWS = (64, 96, 128)  # of x_proj
SHORTEST = 48  # steps of a sequence, for which a tile is not too much
FARTHEST = 2**31  # bytes from the first to the last row of a sample
MAX_SEQUENCES = 65535  # of a grid's third dimension


class Front(NamedTuple):
    """What the kernel reads; as in `zoo.ops.mamba`, x the first half of the first product."""

    x: Tensor
    weight: Tensor
    bias: Tensor | None
    x_proj: Tensor
    dt_proj: Tensor
    order: Tensor | None

    @property
    def lines(self) -> int:
        """Rows of the order, each a sequence of its own."""
        return orders.row_count(self.order)


class Tile(NamedTuple):
    """A variant of cuda_front.cu; capitals are its macros."""

    STEPS: int
    CLUSTER: int

    @property
    def MIN_BLOCKS(self) -> int:
        """That a multiprocessor holds."""
        return len(COST[self.STEPS].chunk)

    def macros(self, width: int, rank: int, rows: int, kind: int, ordered: bool) -> dict[str, int]:
        """For a convolution of `width` taps of a kind, and `rows` of x_proj, of which `rank` make a step."""
        sizes = {"WIDTH": width, "RANK": rank, "ROWS": rows, "SHARED": self.shared(width, rank, rows, 2 if kind else 4)}
        flags = {"IO_KIND": 1, "MIN_BLOCKS": self.MIN_BLOCKS, "PARAMETER": kind, "ORDERED": int(ordered)}
        return self._asdict() | flags | sizes

    def shared(self, width: int, rank: int, rows: int, size: int) -> int:
        """Bytes: the larger of what pass 1 needs and the others, and positions; taps have `size` bytes."""
        row, low = 2 * CHUNK, -(-rank // CHUNK)
        tile, sums = self.STEPS * row, 4 * self.STEPS * (rows + 8)
        first = 3 * rows * row + tile + 2 * (row * (self.STEPS + width - 1) + CHUNK * (width + 1) * size)
        second = -(-max(sums, 3 * low * CHUNK * row + tile) // 1024) * 1024 + low * tile
        return max(first, second) + 4 * (4 + self.STEPS)


class Cost(NamedTuple):
    """Microseconds on an H200 (docs/kernels.md): a block's, and a chunk's by how many blocks share a multiprocessor."""

    block: float
    chunk: tuple[float, ...]


COST = {64: Cost(6.5, (1.65, 2.3, 3.1)), 128: Cost(6.0, (2.7, 4.25))}
TILES = [Tile(64, 1), Tile(64, 2), Tile(64, 4), Tile(64, 8), *(Tile(128, n) for n in (1, 2, 3, 4, 8))]
REACHED = {3: 0.94, 4: 0.97, 8: 0.91}  # by clusters of so many blocks, of all multiprocessors


def unfit(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> str | None:
    """Why the kernel cannot run on a device, or its self-test failed there, or None."""
    if reason := driver.unfit(device, dtype):
        return reason
    if torch.cuda.get_device_capability(device) != CAPABILITY:
        return f"compute capability is not {CAPABILITY[0]}.{CAPABILITY[1]}"
    if dtype != torch.bfloat16:
        return f"dtype is {dtype}"
    return selftest.verdict("mamba", SOURCE.parent, dtype, device, _self_test)


def takes(
    n: Tensor, weight: Tensor, bias: Tensor | None, x_proj: Tensor, dt_proj: Tensor, order: Tensor | None, state: int
) -> bool:
    """Whether the kernel can serve a mixer of `state` states on tokens n, and is faster than its parts."""
    (batch, length, _), (rows, channels), rank, width = n.shape, x_proj.shape, dt_proj.shape[1], weight.shape[1]
    if rows not in ROWS or rank % 16 or rank > 128 or channels % CHUNK or width > 4:
        return False
    lines = orders.row_count(order)
    if length // lines < SHORTEST or length * 4 * channels >= FARTHEST or not 0 < batch * lines <= MAX_SEQUENCES:
        return False
    if order is not None and directions.count(order):
        return False
    taps = [t for t in (weight, bias) if t is not None]
    kinds = {t.dtype for t in (n, x_proj, dt_proj)}, {t.dtype for t in taps}
    if kinds not in (({torch.bfloat16}, {torch.float32}), ({torch.bfloat16}, {torch.bfloat16})):
        return False
    if not all(t.is_contiguous() and t.data_ptr() % 16 == 0 for t in (*taps, x_proj, dt_proj)):
        return False
    operators = (("selective_scan", state), ("causal_conv", width))  # whoever asks for other backends gets them
    if any(choose(op, Problem(n.device, n.dtype, size)).name != "cuda" for op, size in operators):
        return False
    return not unfit(n.device, n.dtype)


@functools.cache
def tile_for(sequences: int, steps: int, channels: int, processors: int) -> Tile:
    """The variant that is over first, by `COST`."""
    return min(TILES, key=lambda tile: _time(tile, sequences, steps, channels, processors))


def _time(tile: Tile, sequences: int, steps: int, channels: int, processors: int) -> float:
    blocks, chunks = sequences * -(-steps // tile.STEPS) * tile.CLUSTER, -(-channels // CHUNK // tile.CLUSTER)
    of_each = -(-blocks // int(processors * REACHED.get(tile.CLUSTER, 1)))
    cost, most = COST[tile.STEPS], tile.MIN_BLOCKS
    rounds = [most] * (of_each // most) + [of_each % most] * (of_each % most > 0)
    return sum(cost.block + chunks * cost.chunk[together - 1] for together in rounds)


def forward(f: Front, tile: Tile | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """(u, rows, dt): the convolution, its projection, and the steps before their bias."""
    (batch, length, channels), (rows, rank, width) = f.x.shape, (len(f.x_proj), f.dt_proj.shape[1], f.weight.shape[1])
    u, dt = (torch.empty(f.x.shape, dtype=f.x.dtype, device=f.x.device) for _ in range(2))
    narrow = f.x.new_empty(batch, length, rows)
    order = None if f.order is None else f.order.to(torch.int32).contiguous()
    sequences, steps = batch * f.lines, length // f.lines
    with torch.cuda.device(f.x.device):
        tile = tile or tile_for(sequences, steps, channels, multiprocessors(f.x.device))
        macros = tile.macros(width, rank, rows, KINDS[f.weight.dtype], order is not None)
        run, stream = driver.kernel(SOURCE, "front", macros, macros["SHARED"], f.x.device)
        tensors = (f.x, f.weight, f.bias, order, f.x_proj, f.dt_proj, u, narrow, dt)
        sizes = (f.x.stride(0), 2 * f.x.stride(1), 2 * channels, steps, f.lines, channels)
        grid = (tile.CLUSTER, -(-steps // tile.STEPS), sequences)
        run(grid, 2 * tile.STEPS, driver.pack("9Pq5i", *tensors, *sizes), stream)
    return u, narrow, dt


def _self_test(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Errors of both tiles against the parts in float32: odd lengths, channels that do not share evenly."""
    generator = torch.Generator(device).manual_seed(0)
    new = lambda *size: torch.randn(*size, device=device, generator=generator)  # noqa: E731
    batch, length, channels, rank, rows = 2, 165, 320, 32, 64
    x = new(batch, length, 2 * channels).to(dtype)[..., :channels]
    x_proj, dt_proj = (new(rows, channels) / channels**0.5).to(dtype), (new(channels, rank) / rank**0.5).to(dtype)
    order = torch.randperm(length, device=device, generator=generator).int().view(3, -1)
    one = Front(x, new(channels, 3).to(dtype), new(channels).to(dtype), x_proj, dt_proj, None)
    other = one._replace(weight=new(channels, 4), bias=None, order=order)

    def errors(label: str, f: Front, tile: Tile) -> dict[str, float]:
        u, narrow, dt = forward(f, tile)
        exact = naive.forward(ConvInputs(f.x.float(), f.weight.float(), f.bias, f.order, True))
        wanted = (exact, F.linear(u.float(), x_proj.float()), F.linear(narrow[..., :rank].float(), dt_proj.float()))
        return selftest.relative_errors([n + label for n in ("u", "rows", "dt")], (u, narrow, dt), wanted)

    cases = (("", one, Tile(64, 4)), (" in order", other, Tile(128, 2)))
    return selftest.together(device, [functools.partial(errors, *case) for case in cases])
