"""Numba, used as a compiler for CPU loops: no compiler on the machine, no thread layer, a cache on disk.

The cache lies beside the source file if that folder is writable, else in the user's cache folder (numba's own rule;
NUMBA_CACHE_DIR overrides both). It looks at the time stamp of the file that holds a kernel and at nothing else: a
kernel and the functions that it calls must live in one file, or old code would run after an edit.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

FAST = {"contract", "reassoc", "nsz", "arcp"}  # not nnan/ninf: a NaN must come out again, training watches for it
EXACT = {"contract"}  # where the order of additions matters


@functools.cache
def problem() -> str | None:
    """Why numba cannot be used, or None."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return f"numba cannot be imported ({error})"
    return None


def njit(fastmath: set[str] = FAST) -> Callable:
    """numba.njit without the GIL and with the disk cache, or without the cache where nothing is writable."""
    import numba

    options = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}

    def decorate(function: Callable) -> Callable:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:  # numba found no folder to cache in: compile in every process
            return numba.njit(**options)(function)

    return decorate


def part(fastmath: set[str] = FAST) -> Callable:
    """A function that only kernels of its own file call: compiled with each of them, with no entrance from Python."""
    import numba

    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return numba.njit(nogil=True, error_model="numpy", fastmath=fastmath, **options)
