"""The CUDA kernels compile without a GPU, in a variant of every kind."""

from pathlib import Path

import pytest

from zoo.ops.cuda import driver, nvrtc
from zoo.ops.selective_scan import cuda
from zoo.ops.selective_scan import cuda_plan as plan

FOLDER = cuda.FOLDER
EULER = {"ORDERED": 1, "VECTOR": 1, "GATED": 1, "SOFTPLUS": 1, "ZOH": 0}
ZOH = {"ORDERED": 0, "VECTOR": 0, "GATED": 0, "SOFTPLUS": 0, "ZOH": 1}
VARIANTS = [(0, 8, 0, ZOH), (1, 16, 0, EULER), (2, 20, 3, EULER)]  # IO_KIND, STATE, GROUP, flags

pytestmark = pytest.mark.skipif(nvrtc.problem() is not None, reason=f"no NVRTC: {nvrtc.problem()}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))


def compiles(source: Path, macros: dict[str, int]) -> None:
    binary = nvrtc.build(source, macros, 90)
    assert binary.cubin[:4] == b"\x7fELF" and nvrtc.build(source, macros, 90) == binary  # the second from the cache


@pytest.mark.parametrize(("kind", "state", "group", "flags"), VARIANTS)
def test_scan(kind, state, group, flags):
    common = {"IO_KIND": kind, "STATE": state} | flags
    shape = plan.FORWARD[kind]
    compiles(FOLDER / "scan_forward.cu", common | {"GROUP": group} | shape.macros())
    compiles(FOLDER / "scan_backward.cu", common | {"GROUP": group} | plan.Backward(64, 2 + (kind == 1)).macros())
    carry = {k: v for k, v in common.items() if k != "VECTOR"}
    for reverse in (0, 1):
        compiles(FOLDER / "scan_carry.cu", carry | {"REVERSE": reverse})
    compiles(FOLDER / "scan_reduce.cu", {"IO_KIND": kind, "STATE": state})


def test_sum_of_rows():
    compiles(driver.REDUCE, {"IO_KIND": 0})
