"""How well a GPU is used: the part of its arithmetic that training asks for, and its memory."""

from __future__ import annotations

from collections.abc import Callable

import torch

from zoo.loggers.protocol import Record

PEAKS = {
    "H200": (989, 495, 67), "H100": (989, 495, 67), "H100 PCIe": (756, 378, 51), "GH200": (989, 495, 67),
    "B200": (2250, 1125, 80), "A100": (312, 156, 19.5), "A800": (312, 156, 19.5), "A10": (125, 62.5, 31.2),
    "L40S": (362, 183, 91.6), "L4": (121, 60, 30.3), "RTX 4090": (165, 82.6, 82.6), "RTX 3090": (71, 35.6, 35.6),
    "V100": (125, 15.7, 15.7), "T4": (65, 8.1, 8.1),
}  # fmt: skip
"""Dense 10^12 operations a second by makers' data sheets: in 16 bits, in TF32, in float32."""


class Usage:
    """`usage(images_per_second)`: `mfu` and `memory_gib` on a GPU, nothing elsewhere.

    Model FLOP utilisation as of PaLM (2204.02311, appendix B): forward and backward, 6 operations a multiply-add
    of the backbone, recomputation not counted, over the data sheet's peak of the GPUs that are used.

    Args:
        macs: multiply-adds of one image, forward; None leaves `mfu` out.
    """

    def __init__(self, macs: int | None, device: torch.device, precision: str, gpus: int = 1):
        self.device, self.peak = device, None
        self.uncounted: Callable[[], int] = lambda: 0  # bytes of CUDA graphs, which the allocator does not show
        if device.type == "cuda" and macs:
            peak = peak_of(torch.cuda.get_device_name(device), precision)
            self.peak = peak and peak * gpus / (6 * macs)

    def __call__(self, images_per_second: float) -> Record:
        """The record; memory is the largest amount since the last one."""
        if self.device.type != "cuda":
            return {}
        used = (torch.cuda.max_memory_allocated(self.device) + self.uncounted()) / 2**30
        torch.cuda.reset_peak_memory_stats(self.device)
        rates = {"mfu": round(images_per_second / self.peak, 4)} if self.peak else {}
        return {**rates, "memory_gib": round(used, 2)}


def peak_of(name: str, precision: str) -> float | None:
    """Operations a second of a GPU by its name; None if it is not in the table."""
    known = max((key for key in PEAKS if key.lower() in name.lower()), key=len, default=None)
    if known is None:
        return None
    return PEAKS[known][{"bf16": 0, "fp16": 0, "tf32": 1}.get(precision, 2)] * 1e12
