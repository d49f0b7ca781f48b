"""Where Triton kernels run: on CUDA tensors, or on any under Triton's interpreter (TRITON_INTERPRET=1), in tests."""

from __future__ import annotations

import importlib.util
import os
from contextlib import AbstractContextManager, nullcontext

import torch

INSTALLED = importlib.util.find_spec("triton") is not None
DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def problem(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a Triton kernel cannot take such tensors, or None."""
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"tensors are on {device.type}"
    if dtype not in DTYPES:
        return f"{dtype} is not among {', '.join(map(str, DTYPES))}"
    return None if INSTALLED else "triton is not installed"


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make a CUDA device the current one, which is where Triton launches; on others do nothing."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
