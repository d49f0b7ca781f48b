"""How a scan is laid out on the GPU: which variant, how many chunks of the length, how much shared memory."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import directions
from zoo.ops.cuda.driver import KINDS
from zoo.ops.selective_scan.inputs import NDIM, Inputs

CHECKPOINT = 16  # steps between kept states: the tile of scan_backward.cu
N = 16  # states of a launch


def dtype(x: Inputs) -> torch.dtype:
    """Of the sequences as kernels read them: a mixture loses nothing in the widest."""
    dtypes = {t.dtype for t in (x.u, x.dt, x.B, x.C, x.z) if t is not None}
    return x.u.dtype if len(dtypes) == 1 else torch.float32


def uniform(x: Inputs) -> Inputs:
    """What the kernels read: sequences of one dtype with channel stride 1, parameters as they are, int32 order."""
    sequences = {k: getattr(x, k) for k in ("u", "dt", "B", "C", "z")}
    for k, t in sequences.items():
        if t is not None:
            t = t.to(dtype(x))
            sequences[k] = t if t.stride(-1) == 1 else t.contiguous()
    vectors = {k: t for k, t in (("D", x.D), ("dt_bias", x.dt_bias)) if t is not None}
    vectors = {k: (t if t.dtype in KINDS else t.float()).contiguous() for k, t in vectors.items()}
    order = None if x.order is None else x.order.to(torch.int32).contiguous()
    return x._replace(A=(x.A if x.A.dtype in KINDS else x.A.float()).contiguous(), order=order, **sequences, **vectors)


def slices(batch: int, rows: int, most: int) -> Iterator[slice]:
    """Samples in parts of at most `most` sequences."""
    size = max(1, most // rows)
    return (slice(i, min(batch, i + size)) for i in range(0, batch, size))


def narrow(x: Inputs, samples: slice) -> Inputs:
    """Some samples of a batch."""
    if samples.stop - samples.start == x.u.shape[0]:
        return x
    return x._replace(**{k: getattr(x, k)[samples] for k in ("u", "dt", "B", "C", "z") if getattr(x, k) is not None})


class Call:
    """The numbers of one call that all its kernels need."""

    def __init__(self, x: Inputs, gy: Tensor | None = None):
        self.u, self.dt, self.A, self.B, self.C, self.D, self.z, self.bias = x[:8]
        self.gy, self.order, self.softplus, self.zoh = gy, x.order, x.softplus, x.zoh
        batch, length, self.channels = x.u.shape[-3:]
        self.state, self.rows = x.A.shape[-1], x.rows
        self.directions, ways = directions.count(x.order), directions.count(x.order) or 1
        self.steps, self.positions = length // self.rows, ways * batch * length
        self.sequences = ways * batch * self.rows
        self.groups = -(-self.state // N)
        self.kind = KINDS[x.u.dtype]
        self.D_kind, self.bias_kind = (0 if t is None else KINDS[t.dtype] for t in (x.D, x.dt_bias))
        self.A_kind = KINDS[x.A.dtype] + 4 * x.log_A
        sequences = (x.u, x.dt, x.z, x.B, x.C)
        self.batch_strides = [0 if t is None else t.stride(-3) for t in sequences]
        self.row_strides = [0 if t is None else t.stride(-2) for t in sequences]
        tensors = [t for t in (*sequences, gy) if t is not None]
        size = x.u.element_size()
        self.row_bytes = [s * size for s in (*self.row_strides, self.channels)]  # the last: results
        whole = self.channels * size % 16 == 0 and self.state * size % 16 == 0
        self.aligned = whole and all(map(_aligned, tensors))
        # parameters that some direction has for itself make it sum its own gradients
        self.sums = ways if any(t is not None and t.ndim > NDIM[k] for k, t in self._parameters(x)) else 1
        self.next = self._next(x, batch) if self.directions else ("", ())

    @staticmethod
    def _parameters(x: Inputs) -> list[tuple[str, Tensor | None]]:
        return [("A", x.A), ("D", x.D), ("dt_bias", x.dt_bias)]

    def _next(self, x: Inputs, batch: int) -> tuple[str, tuple[int, ...]]:
        """`Directions` of device.cuh, packed behind the other parameters."""

        def of(t: Tensor | None, ndim: int) -> int:
            if t is None:
                return 0
            moved = batch * t.stride(-3) if ndim == 3 else 0  # by the index of the sequence
            return ((t.stride(0) if t.ndim > ndim else 0) - moved) * t.element_size()

        sequences = [of(t, 3) for t in (x.u, x.dt, x.z, x.B, x.C)]
        gy = 0 if self.gy is None else -batch * self.rows * self.steps * self.row_bytes[-1]
        return "9qi", (*sequences, gy, *(of(t, NDIM[k]) for k, t in self._parameters(x)), batch * self.rows)

    def macros(self, group: int) -> dict[str, int]:
        """Macros of the launch for states 16 group and up."""
        which = 0 if self.groups == 1 else 1 if group == 0 else 3 if group == self.groups - 1 else 2
        flags = {"ORDERED": self.order is not None, "VECTOR": self.aligned, "GATED": self.z is not None}
        flags |= {"SOFTPLUS": self.softplus, "ZOH": self.zoh}
        flags |= {"DIRECTIONS": 1} if self.directions else {}
        return {"IO_KIND": self.kind, "STATE": self.state, "GROUP": which} | {k: int(v) for k, v in flags.items()}


def _aligned(x: Tensor) -> bool:
    """Whether every row starts at a multiple of 16 bytes."""
    strides = [s for n, s in zip(x.shape[:-1], x.stride()) if n > 1]
    return x.data_ptr() % 16 == 0 and all(s * x.element_size() % 16 == 0 for s in strides)


class Forward(NamedTuple):
    """A variant of scan_forward.cu; capitals are its macros."""

    CHANNELS: int
    SPLIT: int
    PRODUCERS: int
    STEPS: int
    STEP_UNROLL: int
    MIN_BLOCKS: int
    TAIL: int = 0
    chunks: int = 1

    @property
    def threads(self) -> int:
        return (self.CHANNELS // 16 * self.SPLIT + self.PRODUCERS) * 32

    def macros(self) -> dict[str, int]:
        return {k: v for k, v in self._asdict().items() if k.isupper()}

    def over(self, steps: int) -> Forward:
        """The variant for so many steps: a last tile of 8 or fewer is cut short, where tiles are longer."""
        return self._replace(TAIL=int(self.STEPS > 8 and 0 < steps % self.STEPS <= 8))

    def shared(self, c: Call) -> int:
        """Bytes: float32 stages, then raw rows (STAGE and RAW of the source)."""
        steps, padded = self.STEPS, self.STEPS + self.STEPS // 4
        plane, parts = self.CHANNELS * (steps + 4) + 32, 2 * self.SPLIT
        stage = 2 * plane + parts * (plane + 8) + 2 * (N * (steps + 4) + 8)
        raw = (2 + (c.z is not None)) * padded * self.CHANNELS + 2 * padded * N
        return self.PRODUCERS * (4 * stage + 3 * raw * c.u.element_size())


# From how many blocks of 16 channels a multiprocessor gets on, measured on an H200 (docs/kernels.md).
SHAPES = {
    16: Forward(64, 1, 2, 8, 1, 4),
    8: Forward(64, 1, 2, 8, 1, 3),
    4.5: Forward(32, 2, 2, 16, 1, 3),
    3: Forward(16, 2, 2, 16, 2, 5),
    2: Forward(16, 4, 2, 16, 2, 3),
    0: Forward(16, 4, 4, 16, 2, 2),
}


STATIC = 4096  # bytes of shared memory that a kernel declares itself, at most


def fullness(sequences: int, channels: int, device: torch.device) -> float:
    """Blocks of 16 channels that a multiprocessor gets."""
    return sequences * -(-channels // 16) / multiprocessors(device)


def crowd(channels: int, device: torch.device) -> int:
    """Sequences that fill the GPU as much as any shape asks for."""
    return math.ceil(max(SHAPES) * multiprocessors(device) / -(-channels // 16))


def forward_shape(c: Call) -> Forward:
    """The variant for a call, by how full the GPU gets, or the nearest one for which a block has the memory."""
    blocks, room = fullness(c.sequences, c.channels, c.u.device), shared_memory(c.u.device) - STATIC
    shape = next(shape for least, shape in SHAPES.items() if blocks >= least)
    if shape.shared(c) > room:
        shape = [other for other in SHAPES.values() if other.shared(c) <= room][-1]
    chunks = min(int(2 / blocks), c.steps // 256) if blocks else 1
    chunks = chunks if chunks >= 4 else 1  # fewer do not repay the extra pass
    return shape.over(c.steps)._replace(chunks=chunks)


class Backward(NamedTuple):
    """A variant of scan_backward.cu; capitals are its macros."""

    CHANNELS: int
    MIN_BLOCKS: int
    chunks: int = 1

    @property
    def threads(self) -> int:
        return self.CHANNELS * 2

    def macros(self) -> dict[str, int]:
        return {k: v for k, v in self._asdict().items() if k.isupper()}

    def shared(self, c: Call) -> int:
        """Bytes: FLOATS, then raw rows."""
        tile, warps = CHECKPOINT, self.threads // 32
        floats = 4 * self.CHANNELS * (tile + 4) + 4 * N * (tile + 4) + 2 * warps * tile * 32 + 3 * 2 * 4 * self.threads
        raw = 2 * (3 + (c.z is not None)) * (tile * self.CHANNELS + tile // 4 * 16) + 4 * tile * N
        return 4 * floats + raw * c.u.element_size()


def backward_shape(c: Call) -> Backward:
    """Channels a block, and chunks of the length where channels do not fill the GPU."""
    shape = Backward(64, 3 if c.kind == 1 and not c.zoh else 2)
    blocks = c.sequences * -(-c.channels // shape.CHANNELS)
    room = shape.MIN_BLOCKS * multiprocessors(c.u.device)
    chunks = min(2 * room // blocks, c.steps // 64)
    return shape._replace(chunks=chunks) if chunks >= 3 else shape


@functools.cache
def shared_memory(device: torch.device) -> int:
    """Bytes that a block may have."""
    return torch.cuda.get_device_properties(device).shared_memory_per_block_optin


@functools.cache
def multiprocessors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count
