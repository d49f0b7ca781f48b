"""The convolution in CUDA C++ (conv.cu): Ampere or newer, widths 2 to 8, any strides with channel stride 1."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import order as orders
from zoo.ops.causal_conv import naive
from zoo.ops.causal_conv.inputs import Inputs
from zoo.ops.cuda import driver, selftest
from zoo.ops.cuda.driver import KINDS
from zoo.ops.dispatch import Problem

name = "cuda"
SOURCE = Path(__file__).with_name("conv.cu")
WARPS = 8  # of a block, one run of steps each
RUN = 48  # steps of a run, about: its WIDTH - 1 neighbours are read twice


def supports(problem: Problem) -> str | None:
    if reason := driver.unfit(problem.device, problem.dtype):
        return reason
    return selftest.verdict("causal_conv", SOURCE.parent, problem.dtype, problem.device, _self_test)


def forward(x: Inputs) -> Tensor:
    """y in x's dtype."""
    y = torch.empty(x.x.shape, dtype=x.x.dtype, device=x.x.device)
    if y.numel():
        _launch("conv_forward", x, None, y, None)
    return y


def backward(x: Inputs, gy: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Gradients of (x, weight, bias): that of x in its dtype, the others in float32."""
    gy = gy.to(x.x.dtype).contiguous()
    gx = torch.empty_like(gy)
    channels, width = x.weight.shape
    if gx.numel():
        gw, gb = _launch("conv_backward", x, gy, None, gx, (channels * width, channels))
    else:
        gw, gb = (torch.zeros(n, dtype=torch.float32, device=gx.device) for n in (channels * width, channels))
    return gx, gw.view(channels, width), None if x.bias is None else gb


class Grid(NamedTuple):
    """A block takes WARPS runs of steps of 32 `vec` channels of a sequence."""

    sequences: int
    tiles: int
    parts: int
    run: int


def _grid(sequences: int, steps: int, channels: int, vec: int, processors: int) -> Grid:
    tiles = -(-channels // (32 * vec))
    run = RUN
    while run > 8 and sequences * tiles * -(-steps // run) < 16 * processors:  # too few warps to hide memory's latency
        run //= 2
    parts = -(-steps // (WARPS * run))
    return Grid(sequences, tiles, parts, -(-steps // (WARPS * parts)))


def _launch(
    entry: str, x: Inputs, gy: Tensor | None, y: Tensor | None, gx: Tensor | None, sums: tuple[int, ...] = ()
) -> list[Tensor]:
    """Run a kernel; return the sums over its blocks, of these sizes."""
    sequence = x.x if x.x.stride(2) == 1 else x.x.contiguous()
    weight, bias = _vector(x.weight), None if x.bias is None else _vector(x.bias)
    order = None if x.order is None else orders.rows(x.order, sequence.shape[1], sequence.device, torch.int32)
    (batch, length, channels), width = sequence.shape, weight.shape[1]
    rows = 1 if order is None else order.shape[0]
    vec = 4 if width <= 4 else 2
    others = [t for t in (gy, y, gx) if t is not None]
    macros = {"IO_KIND": KINDS[sequence.dtype], "WIDTH": width, "VEC": vec, "ORDERED": int(order is not None)}
    macros |= {"VECTOR": int(_aligned(sequence, vec) and all(_aligned(t, vec) for t in others)), "SILU": int(x.silu)}
    with torch.cuda.device(sequence.device):
        processors = torch.cuda.get_device_properties(sequence.device).multi_processor_count
        grid = _grid(batch * rows, length // rows, channels, vec, processors)
        by_block = None
        if sums:
            by_block = sequence.new_empty(grid.sequences * grid.parts, sum(sums), dtype=torch.float32)
        tensors = (sequence, gy, weight, bias, order, y, gx, by_block)
        kinds = (KINDS[weight.dtype], 0 if bias is None else KINDS[bias.dtype])
        sizes = (sequence.stride(1), length // rows, rows, channels, *kinds, grid.run)
        run, stream = driver.kernel(SOURCE, entry, macros, 0, sequence.device)
        run(grid[:3], 32 * WARPS, driver.pack("8Pq7i", *tensors, sequence.stride(0), *sizes), stream)
        return [] if by_block is None else driver.sum_rows(by_block, sums)


def _vector(x: Tensor) -> Tensor:
    """Weights as the kernel reads them."""
    return (x if x.dtype in KINDS else x.float()).contiguous()


def _aligned(x: Tensor, vec: int) -> bool:
    """Whether every row starts at, and has, a whole number of `vec` elements."""
    strides = [s for n, s in zip(x.shape[:2], x.stride()) if n > 1]
    return x.data_ptr() % (vec * x.element_size()) == 0 and all(n % vec == 0 for n in (x.shape[2], *strides))


def _self_test(dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Errors of y and all gradients against naive: an odd shape, with and without an order."""
    generator = torch.Generator(device).manual_seed(0)
    new = lambda *size: torch.randn(*size, device=device, generator=generator)  # noqa: E731
    sequence, gy, weight, bias = new(2, 37, 132).to(dtype), new(2, 37, 132).to(dtype), new(132, 4), new(132)
    errors = {}
    for label, order in (("", None), (" in order", torch.randperm(37, device=device, generator=generator).int())):
        x = Inputs(sequence, weight, bias, order, True)
        names = [n + label for n in ("y", "dx", "dweight", "dbias")]
        wanted = (naive.forward(x._replace(x=sequence.float())), *naive.backward(x, gy))
        errors |= selftest.relative_errors(names, (forward(x), *backward(x, gy)), wanted)
    return errors
