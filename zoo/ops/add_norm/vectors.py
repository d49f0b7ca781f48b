"""The vectors of a norm and of a connection: how kernels are told what there is of them, and their gradients."""

# pyright: reportIndexIssue=false

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zoo.ops import triton_launch

CHANNELS, PARTS = 64, 64  # of a program that finishes sums, at once


class Vectors(NamedTuple):
    """As the operators take them: rows (batch, 1, width) or (1, 1, width); tables, weight and bias (width,)."""

    gate: Tensor | None = None
    gate_table: Tensor | None = None
    weight: Tensor | None = None
    bias: Tensor | None = None
    shift: Tensor | None = None
    shift_table: Tensor | None = None
    scale: Tensor | None = None
    scale_table: Tensor | None = None

    @property
    def normed(self) -> bool:
        """Whether a norm's gradient must be summed for any of them."""
        return any(t is not None for t in (self.weight, self.bias, self.shift, self.scale))

    @property
    def count(self) -> int:
        """Sums over rows that backward needs: of g * norm and of g, and of the gate."""
        return 2 * self.normed + (self.gate is not None)

    @property
    def switches(self) -> dict[str, int]:
        """What there is, known when kernels are compiled."""
        return {
            "GATE": _kind(self.gate, self.gate_table), "WEIGHT": int(self.weight is not None),
            "BIAS": int(self.bias is not None), "SHIFT": _kind(self.shift, self.shift_table),
            "SCALE": _kind(self.scale, self.scale_table),
        }  # fmt: skip

    def only(self, *names: str) -> dict[str, int]:
        """Some of the switches."""
        switches = self.switches
        return {name: switches[name] for name in names}

    def empty_gradients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """by_sample (3, batch, width), of gate, shift and scale, in their dtype; totals (5, width) in float32."""
        batch, _, width = x.shape
        dtypes = {t.dtype for t in (self.gate, self.shift, self.scale) if t is not None}
        by_sample = x.new_empty(3, batch, width, dtype=dtypes.pop() if len(dtypes) == 1 else torch.float32)
        return by_sample, x.new_empty(5, width, dtype=torch.float32)

    def gradients(self, by_sample: Tensor, totals: Tensor) -> Vectors:
        """Each where it belongs, in its tensor's dtype."""
        gate, shift, scale = (
            _of_row(row, by_sample[i], totals[i]) for i, row in enumerate((self.gate, self.shift, self.scale))
        )
        tables = (self.gate_table, self.shift_table, self.scale_table, self.weight, self.bias)
        gate_table, shift_table, scale_table, weight, bias = (
            None if t is None else totals[i].to(t.dtype) for i, t in enumerate(tables)
        )
        return Vectors(gate, gate_table, weight, bias, shift, shift_table, scale, scale_table)


def finish(sums: Tensor, x: Tensor, v: Vectors) -> tuple[Tensor, Tensor]:
    """`Vectors.empty_gradients` filled from sums (batch, parts, count, width) over parts of x's rows."""
    from zoo.ops.add_norm.triton_kernels import vector_gradients_kernel

    by_sample, totals = v.empty_gradients(x)
    if v.count:
        batch, parts, _, width = sums.shape
        terms = torch.empty(5, batch, width, device=sums.device)
        tensors = [sums if t is None else t for t in (v.weight, v.bias, v.scale, v.scale_table)]
        with triton_launch.on(x.device):
            vector_gradients_kernel[(-(-width // CHANNELS), batch)](
                sums, *tensors, by_sample, terms, step(v.scale), parts, width, PARTS=min(power_of_two(parts), PARTS),
                CHANNELS=CHANNELS, NORM_SUMS=v.normed, COUNT=v.count, **v.switches,
            )  # fmt: skip
        torch.sum(terms, 1, out=totals)
    return by_sample, totals


def step(row: Tensor | None) -> int:
    """Elements from one sample's modulation to the next one's; 0 if all share one."""
    return 0 if row is None or row.shape[0] == 1 else row.stride(0)


def _kind(row: Tensor | None, table: Tensor | None) -> int:
    return 0 if row is None else 1 if table is None else 2


def _of_row(row: Tensor | None, by_sample: Tensor, total: Tensor) -> Tensor | None:
    """A gradient in the shape, which may be one for all samples, and dtype of a row."""
    if row is None:
        return None
    return (by_sample[:, None] if len(row) == len(by_sample) else total[None, None]).to(row.dtype)


def power_of_two(n: int) -> int:
    """The next one from n on, which is what blocks of Triton programs measure."""
    return 1 << (n - 1).bit_length()
