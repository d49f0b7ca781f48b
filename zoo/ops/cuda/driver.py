"""Load compiled kernels and launch them on PyTorch's current stream; nothing here waits or allocates."""

from __future__ import annotations

import ctypes
import functools
import struct
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import BackendError
from zoo.ops.cuda import nvrtc

KINDS = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}  # IO_KIND of the kernels
OLDEST = (8, 0)  # compute capability
CLUSTERS = 90  # architecture from which blocks come in clusters
NO_CONTEXT = 201  # CUDA_ERROR_INVALID_CONTEXT


def unfit(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why no kernel of this folder can run on such tensors, or None."""
    if device.type != "cuda":
        return f"tensors are on {device.type}"
    if dtype not in KINDS:
        return f"dtype is {dtype}"
    if not torch.cuda.is_available():
        return "no CUDA device"
    if reason := nvrtc.problem():
        return reason
    if torch.cuda.get_device_capability(device) < OLDEST:
        return f"compute capability below {OLDEST[0]}.{OLDEST[1]}"
    return None


class Kernel:
    """One __global__ function whose only parameter is a struct, passed as packed bytes."""

    def __init__(self, library, name: str, shared: int, device: int):
        from cuda.bindings import driver

        self._device = device
        (kernel,) = _check(driver.cuLibraryGetKernel(library, name.encode()))
        (self._function,) = _check(driver.cuKernelGetFunction(kernel))
        self._launch, self._shared, self._name = driver.cuLaunchKernel, shared, name
        attribute = driver.CUfunction_attribute
        if shared > 32 * 1024:  # beyond 48 KiB with what the kernel declares itself
            wide = attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            _check(driver.cuFuncSetAttribute(self._function, wide, shared))
        if arch(device) >= CLUSTERS:  # close together: clusters that are spread find less room
            policy = attribute.CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE
            close = driver.CUclusterSchedulingPolicy.CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING
            _check(driver.cuFuncSetAttribute(self._function, policy, int(close)))

    def __call__(self, grid: tuple[int, int, int], threads: int, params: bytes, stream: int) -> None:
        if 0 in grid:
            return
        buffer = ctypes.create_string_buffer(params, len(params))
        pointers = (ctypes.c_void_p * 1)(ctypes.addressof(buffer))
        arguments = (self._function, *grid, threads, 1, 1, self._shared, stream, ctypes.addressof(pointers), 0)
        code = self._launch(*arguments)[0]
        if int(code) == NO_CONTEXT:  # a thread that has not used CUDA yet, such as autograd's
            _enter(self._device)
            code = self._launch(*arguments)[0]
        if int(code) != 0:
            raise BackendError(f"launch of {self._name} with grid {grid} fails: {code.name}", where="zoo.ops.cuda")


def pack(layout: str, *values: Any) -> bytes:
    """The bytes of a parameter struct; `layout` as in Python's struct, a tensor stands for its address, None for null.

    Padding is the compiler's, that at the end included (as if an 8-byte field followed).
    """
    return struct.pack(f"{layout}0q", *[v.data_ptr() if isinstance(v, Tensor) else (v or 0) for v in values])


REDUCE = Path(__file__).with_name("reduce.cu")


def sum_rows(x_RC: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    """The sum over the first dimension of a contiguous float32 matrix, cut into up to three vectors of these sizes.

    The order of the additions depends on the shape alone.
    """
    totals = [x_RC.new_empty(n) for n in sizes]
    begins = [sum(sizes[:i]) if i < len(sizes) else x_RC.shape[1] for i in range(3)]
    run, stream = kernel(REDUCE, "reduce_rows", {"IO_KIND": 0}, 0, x_RC.device)
    params = pack("4P5i", x_RC, *totals, *[None] * (3 - len(sizes)), *x_RC.shape, *begins)
    run((-(-x_RC.shape[1] // 32), 1, 1), 256, params, stream)
    return totals


def kernel(source: Path, name: str, macros: dict[str, int], shared: int, device: torch.device) -> tuple[Kernel, int]:
    """A compiled and loaded kernel, and the stream to launch it on; call it inside `torch.cuda.device(device)`."""
    return _load(source, name, tuple(macros.items()), shared, device.index), torch.cuda.current_stream(
        device
    ).cuda_stream


@functools.cache
def _load(source: Path, name: str, macros: tuple[tuple[str, int], ...], shared: int, device: int) -> Kernel:
    from cuda.bindings import driver

    _enter(device)
    cubin = nvrtc.build(source, dict(macros), arch(device)).cubin
    (library,) = _check(driver.cuLibraryLoadData(cubin, [], [], 0, [], [], 0))
    return Kernel(library, name, shared, device)


def _enter(device: int) -> None:
    """Make PyTorch's context the current one of this thread."""
    from cuda.bindings import driver

    (context,) = _check(driver.cuDevicePrimaryCtxRetain(device))
    _check(driver.cuCtxSetCurrent(context))


@functools.cache
def arch(device: int) -> int:
    """Compute capability, 90 for 9.0."""
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def version() -> int:
    """The installed driver's CUDA version."""
    from cuda.bindings import driver

    return _check(driver.cuDriverGetVersion())[0]


def _check(result: tuple) -> tuple:
    code, *values = result
    if int(code) != 0:
        raise BackendError(f"the CUDA driver answers {code.name}", where="zoo.ops.cuda")
    return tuple(values)
