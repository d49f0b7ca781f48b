"""Compile a .cu file at run time with NVRTC, which comes with PyTorch's own wheels; no GPU is needed to compile.

A variant of a kernel is its file plus macros. Compiled code is kept in `folder()` under a hash of all that it depends
on, written so that several processes can share the folder.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from zoo.errors import BackendError

HEADER = Path(__file__).with_name("device.cuh")
OWN = {90: "sm_90a"}  # targets with the instructions that no later GPU has
OPTIONS = ("-std=c++17", "-use_fast_math", "--ptxas-options=-v")


class Binary(NamedTuple):
    """Machine code of one variant, and what the assembler said about it."""

    cubin: bytes
    log: str

    def spills(self) -> int:
        """Bytes of registers kept in local memory: the most of any kernel in the file."""
        return max([int(n) for n in re.findall(r"(\d+) bytes spill stores", self.log)], default=0)


@functools.cache
def problem() -> str | None:
    """Why nothing can be compiled here, or None."""
    try:
        from cuda.bindings import nvrtc
    except ImportError as error:
        return f"cuda.bindings cannot be imported ({error}); pip install cuda-bindings"
    try:
        code, *_ = nvrtc.nvrtcVersion()
    except RuntimeError as error:  # the library itself is missing
        return f"NVRTC cannot be loaded ({error})"
    return None if int(code) == 0 else f"NVRTC answers {code}"


def folder() -> Path:
    """Where compiled kernels and verdicts on them are kept: $ZOO_CACHE, else the user's cache folder."""
    root = os.environ.get("ZOO_CACHE")
    if root:
        return Path(root) / "kernels"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zoo" / "kernels"


def key(source: Path, macros: dict[str, int], arch: int) -> str:
    """A name for a variant that changes with anything the compiled code depends on."""
    parts = [
        source.read_text(),
        HEADER.read_text(),
        repr(sorted(macros.items())),
        _target(arch),
        repr(OPTIONS),
        repr(version()),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _target(arch: int) -> str:
    return OWN.get(arch, f"sm_{arch}")


@functools.cache
def version() -> tuple[int, int]:
    """NVRTC's version."""
    from cuda.bindings import nvrtc

    _, major, minor = nvrtc.nvrtcVersion()
    return major, minor


def build(source: Path, macros: dict[str, int], arch: int) -> Binary:
    """A variant from the cache, or compiled and put there.

    Args:
        source: the .cu file.
        macros: NAME -> value, as with -D.
        arch: compute capability, 90 for 9.0.

    Raises:
        BackendError: the source does not compile.
    """
    path = folder() / f"{source.stem}-{key(source, macros, arch)}"
    cubin, log = path.with_suffix(".cubin"), path.with_suffix(".log")
    try:
        return Binary(cubin.read_bytes(), log.read_text())
    except OSError:
        pass
    binary = compile(source, macros, arch)
    keep(log, binary.log.encode())  # first: whoever finds the code finds the log
    keep(cubin, binary.cubin)
    return binary


def keep(path: Path, content: bytes) -> None:
    """Write a file of the cache in one step; a folder that cannot be written only costs the next process its time."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(content)
        os.replace(file.name, path)
    except OSError:
        pass


def compile(source: Path, macros: dict[str, int], arch: int) -> Binary:
    """Compile a variant, without the cache; arguments as in `build`."""
    from cuda.bindings import nvrtc

    def check(result: tuple) -> tuple:
        code, *values = result
        if int(code) != 0 and int(code) != int(nvrtc.nvrtcResult.NVRTC_ERROR_COMPILATION):
            raise BackendError(f"NVRTC answers {code} for {source.name}", where="zoo.ops.cuda")
        return tuple(values)

    text, header = source.read_bytes(), HEADER.read_bytes()
    (program,) = check(nvrtc.nvrtcCreateProgram(text, source.name.encode(), 1, [header], [HEADER.name.encode()]))
    options = [*OPTIONS, f"-arch={_target(arch)}", *(f"-D{name}={value}" for name, value in macros.items())]
    (failed, *_) = nvrtc.nvrtcCompileProgram(program, len(options), [o.encode() for o in options])
    (size,) = check(nvrtc.nvrtcGetProgramLogSize(program))
    log = bytearray(size)
    check(nvrtc.nvrtcGetProgramLog(program, log))
    message = log.rstrip(b"\0").decode(errors="replace")
    if int(failed) != 0:
        raise BackendError(
            f"{source.name} does not compile for {_target(arch)} with {macros}:\n{message}", where="zoo.ops.cuda"
        )
    (size,) = check(nvrtc.nvrtcGetCUBINSize(program))
    cubin = bytearray(size)
    check(nvrtc.nvrtcGetCUBIN(program, cubin))
    nvrtc.nvrtcDestroyProgram(program)
    return Binary(bytes(cubin), message)
