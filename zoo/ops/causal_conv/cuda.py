"""The convolution in CUDA C++ (conv.cu): Ampere or newer, widths 2 to 8, any strides with channel stride 1."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import directions
from zoo.ops.causal_conv import naive
from zoo.ops.causal_conv.inputs import NDIM, Inputs
from zoo.ops.cuda import driver, selftest
from zoo.ops.cuda.driver import KINDS
from zoo.ops.dispatch import Problem

name = "cuda"
SOURCE = Path(__file__).with_name("conv.cu")
WARPS = 8  # of a block, one run of steps each
LONGEST = 96  # run of steps
RESIDENT = {"conv_forward": 3, "conv_backward": 2}  # blocks that a multiprocessor holds at once
START = 4  # steps that a run's beginning costs, beside its WIDTH - 1 neighbours that are read twice


def supports(problem: Problem) -> str | None:
    if reason := driver.unfit(problem.device, problem.dtype):
        return reason
    return selftest.verdict("causal_conv", SOURCE.parent, problem.dtype, problem.device, _self_test)


def together(x: Inputs) -> bool:
    """Whether one launch takes all directions of a call."""
    return x.x.numel() > 0


def forward(x: Inputs) -> Tensor:
    """y in x's dtype."""
    ways = directions.count(x.order)
    y = torch.empty((ways, *x.x.shape[-3:]) if ways else x.x.shape, dtype=x.x.dtype, device=x.x.device)
    if y.numel():
        _launch("conv_forward", x, None, y, None)
    return y


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias): that of x in its dtype, the others in float32."""
    gy = gy.to(x.x.dtype).contiguous()
    gx = torch.empty_like(gy)
    channels, width = x.weight.shape[-2:]
    if gx.numel():
        sums = _launch("conv_backward", x, gy, None, gx, (channels * width, channels))
    else:
        sums = [torch.zeros(2, n, dtype=torch.float32, device=gx.device)[:1] for n in (channels * width, channels)]
    found = (gx, sums[0].view(-1, channels, width), sums[1])
    if not directions.count(x.order):
        return gx, found[1][0], None if x.bias is None else found[2][0]
    gx, gw, gb = (g if own else directions.add(g) for own, g in zip(directions.own(x, NDIM), found))
    return gx, gw, None if x.bias is None else gb


class Grid(NamedTuple):
    """A block takes WARPS runs of steps of 32 `vec` channels of a sequence."""

    sequences: int
    tiles: int
    parts: int
    run: int


@functools.cache
def _grid(sequences: int, steps: int, width: int, tiles: int, at_once: int) -> Grid:
    """Runs of the length that is over first, where `at_once` blocks run at a time."""

    def time(parts: int) -> int:
        waves = -(-sequences * tiles * parts // at_once)
        return waves * (-(-steps // (WARPS * parts)) + width - 1 + START)

    fewest = -(-steps // (WARPS * LONGEST))
    parts = min(range(fewest, max(fewest, steps // WARPS) + 1), key=time)
    return Grid(sequences, tiles, parts, -(-steps // (WARPS * parts)))


def _launch(
    entry: str, x: Inputs, gy: Tensor | None, y: Tensor | None, gx: Tensor | None, sums: tuple[int, ...] = ()
) -> list[Tensor]:
    """Run a kernel; return the sums over its blocks, (1, size), or (directions, size) if a direction has its own."""
    sequence = x.x if x.x.stride(-1) == 1 else x.x.contiguous()
    weight, bias = _vector(x.weight), None if x.bias is None else _vector(x.bias)
    order = None if x.order is None else x.order.to(torch.int32).contiguous()
    (batch, length, channels), width, rows = sequence.shape[-3:], weight.shape[-1], x.rows
    ways = directions.count(order)
    vec = 4 if width <= 4 else 2
    others = [t for t in (gy, y, gx) if t is not None]
    macros = {"IO_KIND": KINDS[sequence.dtype], "WIDTH": width, "VEC": vec, "ORDERED": int(order is not None)}
    macros |= {"VECTOR": int(_aligned(sequence, vec) and all(_aligned(t, vec) for t in others)), "SILU": int(x.silu)}
    macros |= {"DIRECTIONS": 1} if ways else {}
    own = directions.own(x, NDIM)
    with torch.cuda.device(sequence.device):
        processors = torch.cuda.get_device_properties(sequence.device).multi_processor_count
        tiles, at_once = -(-channels // (32 * vec)), RESIDENT[entry] * processors
        grid = _grid((ways or 1) * batch * rows, length // rows, width, tiles, at_once)
        by_block = None
        if sums:
            by_block = sequence.new_empty(grid.sequences * grid.parts, sum(sums), dtype=torch.float32)
        tensors = (sequence, gy, weight, bias, order, y, gx, by_block)
        kinds = (KINDS[weight.dtype], 0 if bias is None else KINDS[bias.dtype])
        sizes = (sequence.stride(-2), length // rows, rows, channels, *kinds, grid.run)
        layout, following = "", ()
        if ways:  # bytes from a direction's to the next one's; the index of the sequence has moved x already
            moved = (batch * sequence.stride(-3), 0, 0)
            given = zip((sequence, weight, bias), own, moved)
            strides = (0 if t is None else (k * t.stride(0) - m) * t.element_size() for t, k, m in given)
            layout, following = "3qi", (*strides, batch * rows)
        run, stream = driver.kernel(SOURCE, entry, macros, 0, sequence.device)
        params = driver.pack("8Pq7i" + layout, *tensors, sequence.stride(-3), *sizes, *following)
        run(grid[:3], 32 * WARPS, params, stream)
        if by_block is None:
            return []
        totals = [driver.sum_rows(part, sums) for part in by_block.view(ways if any(own[1:]) else 1, -1, sum(sums))]
        return [g[0][None] if len(g) == 1 else torch.stack(g) for g in zip(*totals)]


def _vector(x: Tensor) -> Tensor:
    """Weights as the kernel reads them."""
    return (x if x.dtype in KINDS else x.float()).contiguous()


def _aligned(x: Tensor, vec: int) -> bool:
    """Whether every row starts at, and has, a whole number of `vec` elements."""
    strides = [s for n, s in zip(x.shape[:-1], x.stride()) if n > 1]
    return x.data_ptr() % (vec * x.element_size()) == 0 and all(n % vec == 0 for n in (x.shape[-1], *strides))


def _self_test(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Errors of y and all gradients against naive: an odd shape, with and without an order, and in two directions."""
    generator = torch.Generator(device).manual_seed(0)
    new = lambda *size: torch.randn(*size, device=device, generator=generator)  # noqa: E731
    sequence, gy, weight, bias = new(2, 37, 132).to(dtype), new(2, 37, 132).to(dtype), new(132, 4), new(132)
    shuffled = torch.randperm(37, device=device, generator=generator).int()

    def one(label: str, order: Tensor | None) -> dict[str, float]:
        x = Inputs(sequence, weight, bias, order, True)
        wanted = (naive.forward(x._replace(x=sequence.float())), *naive.backward(x, gy))
        return selftest.relative_errors([n + label for n in names], (forward(x), *backward(x, gy)), wanted)

    def two(label: str) -> dict[str, float]:
        x = Inputs(sequence, torch.stack([weight, weight.flip(0)]), bias, both, True)
        ways, g = directions.each(x._replace(x=sequence.float()), NDIM), torch.stack([gy, gy.flip(0)])
        found = (forward(x), *backward(x, g))
        gradients = directions.gather([naive.backward(one, g) for one, g in zip(ways, g)], x, NDIM)
        wanted = (torch.stack([naive.forward(one) for one in ways]), *gradients)
        return selftest.relative_errors([n + label for n in names], found, wanted)

    names = ("y", "dx", "dweight", "dbias")
    both = torch.stack([shuffled.flip(0), shuffled])[:, None]
    case = functools.partial
    cases = (case(one, "", None), case(one, " in order", shuffled), case(two, " in two directions"))
    return selftest.together(device, cases)
