"""Every CUDA kernel compiles without a GPU, in each variant that a call may ask for."""

import itertools
from pathlib import Path

import pytest

from zoo.ops.causal_conv import cuda as conv
from zoo.ops.cuda import driver, nvrtc
from zoo.ops.selective_scan import cuda as scan
from zoo.ops.selective_scan import cuda_plan as plan

FOLDER = scan.FOLDER
FLAGS = ("ORDERED", "VECTOR", "GATED", "SOFTPLUS", "ZOH")
GROUPS = [(16, 0), (8, 0), (20, 1), (48, 2), (20, 3)]  # STATE, and which of its launches
OFTEN = [(1, 0, 1, 1, 1), (1, 1, 1, 1, 0), (1, 1, 0, 0, 1)]  # for the rarer states; together every flag both ways

pytestmark = pytest.mark.skipif(nvrtc.problem() is not None, reason=f"no NVRTC: {nvrtc.problem()}")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))


def compiles(source: Path, macros: dict[str, int]) -> None:
    assert nvrtc.compile(source, macros, 90).cubin[:4] == b"\x7fELF"


@pytest.mark.parametrize("kind", [0, 1])  # float16 differs from bfloat16 in four conversions: below
@pytest.mark.parametrize("gated_softplus_zoh", itertools.product((0, 1), repeat=3), ids=str)
def test_scan_of_sixteen_states(kind, gated_softplus_zoh):
    for ordered, vector in itertools.product((0, 1), repeat=2):
        compile_scan(kind, 16, 0, (ordered, vector, *gated_softplus_zoh))


@pytest.mark.parametrize("kind", plan.KINDS.values())
@pytest.mark.parametrize(("state", "group"), GROUPS)
def test_scan_of_other_states(kind, state, group):
    for flags in OFTEN:
        compile_scan(kind, state, group, flags)


@pytest.mark.parametrize("kind", plan.KINDS.values())
def test_scan_in_several_directions(kind):
    compile_scan(kind, 16, 0, OFTEN[1], DIRECTIONS=1)


def compile_scan(kind: int, state: int, group: int, values: tuple[int, ...], **more: int) -> None:
    flags = dict(zip(FLAGS, values))
    macros = {"IO_KIND": kind, "STATE": state, "GROUP": group} | flags | more
    shapes = [plan.MANY_ORDERED if flags["ORDERED"] else plan.MANY, plan.FEW]
    for shape in shapes:
        compiles(FOLDER / "scan_forward.cu", macros | shape.macros())
    few_registers = kind == 1 and not flags["ZOH"]
    compiles(FOLDER / "scan_backward.cu", macros | plan.Backward(64, 3 if few_registers else 2).macros())
    if flags["VECTOR"]:
        carry = {k: v for k, v in macros.items() if k not in ("GROUP", "VECTOR")}
        for reverse in (0, 1):
            compiles(FOLDER / "scan_carry.cu", carry | {"REVERSE": reverse})
        compiles(FOLDER / "scan_reduce.cu", {"IO_KIND": kind, "STATE": state, "ZOH": flags["ZOH"]})


@pytest.mark.parametrize("kind", conv.KINDS.values())
@pytest.mark.parametrize("width", range(2, 9))
def test_convolution(kind, width):
    for flags in ((1, 1, 1), (0, 1, 0), (1, 0, 1)):
        macros = {"IO_KIND": kind, "WIDTH": width, "VEC": 4 if width <= 4 else 2}
        compiles(conv.SOURCE, macros | dict(zip(("ORDERED", "VECTOR", "SILU"), flags)))
    compiles(conv.SOURCE, macros | {"ORDERED": 1, "VECTOR": 1, "SILU": 1, "DIRECTIONS": 1})


def test_sum_of_rows():
    compiles(driver.REDUCE, {"IO_KIND": 0})


def test_the_cache_gives_what_was_compiled(tmp_path):
    first = nvrtc.build(driver.REDUCE, {"IO_KIND": 0}, 90)
    assert nvrtc.build(driver.REDUCE, {"IO_KIND": 0}, 90) == first
    assert len(list(tmp_path.rglob("*.cubin"))) == 1
