"""What zoo-doctor looks at: one function a subject, each yields checks and never raises."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

REQUIRED = ("torch", "timm", "einops", "pyyaml", "rich", "numpy", "numba", "pillow", "safetensors", "huggingface_hub")
OPTIONAL = {
    "mamba-ssm": ("another selective scan, CUDA only", "pip install --no-build-isolation mamba-ssm"),
    "causal-conv1d": ("another causal convolution, CUDA only", "pip install --no-build-isolation causal-conv1d"),
    "diffusers": ("autoencoders for latent models", "pip install diffusers"),
    "pyarrow": ("parquet data sets", "pip install pyarrow"),
    "imageio-ffmpeg": ("video files", "pip install imageio imageio-ffmpeg"),
    "tensorboard": ("its logger", "pip install tensorboard"),
    "torch-fidelity": ("Inception features for FID", "pip install torch-fidelity"),
}
CACHES = {
    "ZOO_DATA": "~/.cache/zoo",
    "HF_HOME": "~/.cache/huggingface",
    "TORCH_HOME": "~/.cache/torch",
    "TRITON_CACHE_DIR": "~/.triton/cache",
}


@dataclass(frozen=True)
class Check:
    """One finding; `broken` makes the doctor's exit code 1, `warn` works but costs, `absent` is optional."""

    name: str
    status: Literal["ok", "warn", "absent", "broken"]
    detail: str
    fix: str = ""


def installed(name: str) -> str | None:
    """The version of a package, without importing it."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def python() -> Iterator[Check]:
    """The interpreter and the packages that a base install has."""
    good = sys.version_info >= (3, 10)
    yield Check("python", "ok" if good else "broken", platform.python_version(),
                "" if good else "install Python 3.10 or newer")
    for name in REQUIRED:
        found = installed(name)
        yield Check(name, "ok", found) if found else Check(name, "broken", "not installed", f"pip install {name}")


def accelerator() -> Iterator[Check]:
    """The device that commands take by themselves, and why it is not a GPU."""
    import torch

    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(i)
            kind = f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, capability {facts.major}.{facts.minor}"
            yield Check(f"device cuda:{i}", "ok", f"{kind}, CUDA {torch.version.cuda}")
        triton = installed("triton")
        yield Check("triton", "ok", triton) if triton else Check(
            "triton", "warn", "not installed: no fast kernels", "pip install triton")
    elif torch.version.cuda is None and shutil.which("nvidia-smi"):
        yield Check("device", "warn", "cpu: there is an NVIDIA driver, but this torch is built without CUDA",
                    "pip install --force-reinstall torch torchvision")
    elif shutil.which("nvidia-smi"):
        yield Check("device", "warn", f"cpu: torch's CUDA {torch.version.cuda} finds no usable GPU", "nvidia-smi")
    else:
        cpu = f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
        yield Check("device", "ok", "mps" if torch.backends.mps.is_available() else cpu)
        yield Check("triton", "ok" if installed("triton") else "absent", installed("triton") or "needs a GPU")


def operators() -> Iterator[Check]:
    """The backend that each operator takes here."""
    import torch

    from zoo import ops
    from zoo.ops.mamba import cuda_front

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = ops.report(device)
    for op in dict.fromkeys(row.op for row in rows):
        backends = [row for row in rows if row.op == op]
        chosen = next((row.backend for row in backends if row.status == "chosen"), None)
        others = "; ".join(f"{row.backend} {row.reason or row.status}" for row in backends if row.backend != chosen)
        if chosen is None:
            yield Check(f"op {op}", "broken", f"no backend: {others}", f"unset ZOO_{op.upper()}_BACKEND")
        elif chosen == "naive":
            yield Check(f"op {op}", "warn", f"naive, a slow reference loop; {others}", "pip install numba triton")
        else:
            yield Check(f"op {op}", "ok", f"{chosen}; {others}")
    apart = cuda_front.unfit(torch.device(device))
    yield Check("op mamba", "ok", f"its parts: {apart}" if apart else "one kernel in front of its scan, for inference")


def optional() -> Iterator[Check]:
    """Packages that add something; none of them is imported."""
    for name, (purpose, fix) in OPTIONAL.items():
        found = installed(name)
        yield Check(name, "ok", found) if found else Check(name, "absent", purpose, fix)


def plugins() -> Iterator[Check]:
    """Parts of installed packages that cannot be read."""
    from zoo import registry

    count = sum(len(registry.parts(kind)) for kind in registry.kinds())
    yield Check("parts", "ok", f"{count} parts of {len(registry.kinds())} kinds")
    for problem in registry.problems:
        yield Check("plug-in", "warn", problem, f"pip uninstall {problem.split()[0]}")


def caches() -> Iterator[Check]:
    """Folders that data, downloads and compiled kernels go to."""
    folders = {name: Path(os.environ.get(name) or default).expanduser() for name, default in CACHES.items()}
    for name, folder in {**folders, "temporary files": Path(tempfile.gettempdir())}.items():
        there = next(p for p in (folder, *folder.parents) if p.exists())
        if os.access(there, os.W_OK | os.X_OK) and there.is_dir():
            free = shutil.disk_usage(there).free / 2**30
            yield Check(name, "ok", f"{folder}, {free:.0f} GiB free")
        else:
            fix = f"export {name}=/a/folder/of/yours" if name in CACHES else "export TMPDIR=/a/folder/of/yours"
            yield Check(name, "warn" if name in CACHES else "broken", f"{there} is not writable", fix)


SUBJECTS = (python, accelerator, operators, optional, plugins, caches)


def examine() -> Iterator[Check]:
    """Every check; a subject that fails is itself a finding."""
    for subject in SUBJECTS:
        try:
            yield from subject()
        except Exception as error:  # the doctor reports what fails, whatever it is
            absent = error.name if isinstance(error, ModuleNotFoundError) else None
            fix = f"pip install {absent}" if absent else "python -c 'import torch, zoo.ops'"
            yield Check(subject.__name__, "broken", f"{type(error).__name__}: {error}", fix)
