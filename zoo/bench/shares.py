"""Where the time of a call goes, by class of operator: our own operators by name, torch's by what they are.

On a GPU the time of a kernel counts for the operator that launched it, on a CPU an operator's own time counts; so one
rule serves both, and kernels may be called anything.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

OURS = {"selective_scan": "scan", "causal_conv": "conv"}  # our operators whose class their name does not tell
COMPOSED = "mamba"  # what it calls tells the class; of what it launches itself, the kernel's name
WHOLE = {"optimizer": r"Optimizer\.|_fused_adam|_foreach_",  # with all that they call
         "attention": r"scaled_dot_product|_flash_attention|_efficient_attention|_cudnn_attention"}  # fmt: skip
CLASSES = {  # of an operator, or else of the nearest one around it
    "gemm": r"aten::(mm|addmm|bmm|baddbmm|matmul|linear)\b",
    "image conv": r"convolution|aten::conv[123]d",
    "norm": r"norm\b|_norm_|norm_backward",
    "copy": r"aten::(copy_|_to_copy|to|clone|contiguous|cat|stack|roll|flip|fill_|zero_|full|zeros|gather|embedding\w*"
            r"|index|index_select|index_copy_?|index_put_?|scatter_?|select_backward|slice_backward)\b|[mM]em(cpy|set)",
}  # fmt: skip
KERNELS = {  # for kernels whose operator the profiler does not know, as in a compiled call; the first that fits
    "attention": r"flash|fmha|attention|sdpa",
    "scan": r"scan|carry",
    "conv": r"causal_conv|conv_(forward|backward)|taps|reduce_rows",
    "gemm": r"gemm|nvjet|cutlass|cublas|_mm_",
    "image conv": r"conv",
    "norm": r"norm",
    "copy": r"copy|cat|memcpy|memset|index|gather|permute|transpose",
}
ORDER = ("scan", "conv", "gemm", "attention", "norm", "elementwise", "copy", "image conv", "optimizer")


class Shares(NamedTuple):
    """Share of the time by class, their sum is 1; how many kernels were launched (0 on a CPU); their time in ms."""

    shares: dict[str, float]
    kernels: int
    ms: float


def shares(run: Callable[[], Any], device: torch.device) -> Shares:
    """Profile one call of `run`, which should be warm."""
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities, acc_events=True) as profiler:
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    events = list(profiler.events() or ())
    spent = list(_kernels(events) if device.type == "cuda" else _host(events))
    total = sum(us for _, us in spent) or 1.0
    by_class = {name: sum(us for c, us in spent if c == name) / total for name in ORDER}
    found = {name: round(share, 4) for name, share in by_class.items() if share >= 5e-5}
    return Shares(found, len(spent) if device.type == "cuda" else 0, total / 1e3)


def _kernels(events: list[Any]) -> Iterator[tuple[str, float]]:
    """(class, microseconds) of every kernel: those that operators launched, and others, for instance of graphs."""
    owned = [(kernel, event) for event in events for kernel in event.kernels]
    for kernel, event in owned:
        yield of_operator(_chain(event)) or of_kernel(kernel.name), kernel.duration
    seen = Counter((kernel.name, kernel.duration) for kernel, _ in owned)
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation:
            key = event.name, event.device_time_total
            if not seen[key]:
                yield of_kernel(event.name), event.device_time_total
            seen[key] -= seen[key] > 0


def _host(events: list[Any]) -> Iterator[tuple[str, float]]:
    """(class, microseconds) of every operator, what it calls left out."""
    for event in events:
        if event.self_cpu_time_total > 0:
            own = "scan" if event.name.startswith(f"zoo::{COMPOSED}") else "elementwise"
            yield of_operator(_chain(event)) or own, event.self_cpu_time_total


def _chain(event: Any) -> list[str]:
    """The operator and those that called it, outermost first."""
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    return names[::-1]


def of_operator(chain: list[str]) -> str | None:
    """The class of an operator from its name and those of its callers; None if none of them is an operator."""
    for name in chain:
        own = name.removeprefix("zoo::").removesuffix("_backward")
        if name.startswith("zoo::") and own != COMPOSED:
            return OURS.get(own, "norm" if "norm" in own else "elementwise")
    for kind, pattern in WHOLE.items():
        if any(re.search(pattern, name) for name in chain):
            return kind
    for name in reversed(chain):
        for kind, pattern in CLASSES.items():
            if re.search(pattern, name):
                return kind
    return "elementwise" if any(name.startswith("aten::") for name in chain) else None


def of_kernel(name: str) -> str:
    """The class of a kernel from its name alone."""
    return next((kind for kind, pattern in KERNELS.items() if re.search(pattern, name, re.IGNORECASE)), "elementwise")
