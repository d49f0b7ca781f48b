"""Number formats of matrix products: autocast and TF32. Chosen here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Matrix products in half precision; parameters, norms and scan states stay float32."""
    dtype = AUTOCAST.get(precision, torch.bfloat16)
    return torch.autocast(device.type, dtype=dtype, enabled=precision in AUTOCAST)


def product_dtype(x: Tensor) -> torch.dtype:
    """In which products of x are computed: autocast's dtype where that is on, else x's own."""
    kind = x.device.type
    on = kind != "meta" and torch.is_autocast_enabled(kind)  # which has no autocast to ask about
    return torch.get_autocast_dtype(kind) if on else x.dtype


def allow_tf32(precision: str) -> None:
    """Process-wide: TF32 for every precision but `fp32`."""
    torch.set_float32_matmul_precision("highest" if precision == "fp32" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "fp32"


@contextmanager
def computing(device: torch.device, precision: str) -> Iterator[None]:
    """Everything inside in this precision; afterwards the process is as before."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    allow_tf32(precision)
    try:
        with autocast(device, precision):
            yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
