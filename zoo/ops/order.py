"""Scan orders: which position of a sequence is visited at each step, by which row.

Legend: B batch, L length, S rows of the order, T steps of a row (S * T = L), X any last dimension.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ShapeError


def check(order: Tensor | None, length: int, device: torch.device, where: str) -> None:
    """Refuse an order that cannot fit; that it visits every position once is not checked, it would wait for the GPU."""
    if order is None:
        return
    fits = order.ndim in (1, 2, 3) and order.numel() == length * (len(order) if order.ndim == 3 else 1) > 0
    if order.dtype not in (torch.int32, torch.int64) or not fits:
        raise ShapeError(
            f"order is {order.dtype} {tuple(order.shape)} for a sequence of {length} positions",
            where=where,
            allowed="int32 or int64, (length,), (rows, steps) or (directions, rows, steps) with rows * steps = length",
        )
    if order.device != device:
        what = f"order is on {order.device}, the sequence on {device}"
        raise ShapeError(what, where=where, fix=f"order.to({str(device)!r})")


def row_count(order: Tensor | None) -> int:
    """Independent rows, of one direction."""
    return 1 if order is None or order.ndim == 1 else order.shape[-2]


def rows(order: Tensor | None, length: int, device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    """The order as (rows, steps); None means one row, first position to last."""
    if order is None:
        return torch.arange(length, device=device, dtype=dtype).unsqueeze(0)
    return (order if order.ndim == 2 else order.unsqueeze(0)).to(dtype).contiguous()


def take(x_BLX: Tensor, rows_ST: Tensor) -> Tensor:
    """Gather along the length: (B, L, X) -> (B * S, T, X), one sequence a row of the order."""
    x = x_BLX.index_select(1, rows_ST.reshape(-1).long())
    return x.reshape(x.shape[0] * rows_ST.shape[0], rows_ST.shape[1], x.shape[-1])


def put(x_RTX: Tensor, rows_ST: Tensor) -> Tensor:
    """Undo `take`: (B * S, T, X) -> (B, L, X), every result at the position it belongs to."""
    x = x_RTX.reshape(-1, rows_ST.numel(), x_RTX.shape[-1])
    return x.index_select(1, rows_ST.reshape(-1).long().argsort())


def flat(x: Tensor) -> np.ndarray:
    """The memory behind a tensor, from its first element to its last.

    By DLPack: `x.numpy()` would forbid FSDP to free the memory of a gathered weight.
    """
    extent = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride())) if x.numel() else 0
    return np.from_dlpack(x.detach().as_strided((extent,), (1,)))
