"""What was measured on: device, versions, clocks; it goes into every result."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from typing import Any

import torch

import zoo

PACKAGES = ("torch", "triton", "numba", "numpy", "mamba-ssm", "causal-conv1d")
ASKED = ("driver_version", "clocks.sm", "clocks.mem", "clocks.max.sm", "clocks.max.mem", "power.limit",
         "temperature.gpu")  # fmt: skip


def facts(device: torch.device) -> dict[str, Any]:
    """Everything that a reader needs to judge a number; what cannot be read is left out."""
    found: dict[str, Any] = {
        "device": device_name(device),
        "type": device.type,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "zoo": zoo.__version__,
        "threads": torch.get_num_threads(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {"memory_gib": round(properties.total_memory / 2**30, 1), "sms": properties.multi_processor_count,
                  "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "clocks": clocks()}  # fmt: skip
    return found


def device_name(device: torch.device) -> str:
    """For instance "NVIDIA H200", or the processor's own name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} threads" if device.type == "cpu" else device.type


def slug(device: torch.device) -> str:
    """A short name of the kind of device for file names."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def clocks() -> dict[str, str]:
    """Driver, clocks, power limit and temperature at this moment, as nvidia-smi says them; {} if it cannot."""
    if not shutil.which("nvidia-smi"):
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(ASKED)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    index = torch.cuda.current_device()  # of those that CUDA may see; the usual case is one
    values = [value.strip() for value in lines[min(index, len(lines) - 1)].split(",")] if lines else []
    return {name: value for name, value in zip(ASKED, values) if "N/A" not in value}


def _processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
