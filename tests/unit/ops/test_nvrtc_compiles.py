"""Every CUDA kernel compiles without a GPU, to machine code.

Of the variants that a call may ask for: any three flags, or two and a launch, in all eight ways, each flag both ways
for every number of states, every launch in every number format; of the convolution, every width in every format, all
eight ways of its flags, each of them both ways for every width and for every format. `--full` compiles the rest.
"""

import functools
import itertools
from pathlib import Path

import pytest

from zoo.ops.causal_conv import cuda as conv
from zoo.ops.cuda import driver, nvrtc
from zoo.ops.mamba import cuda_front as front
from zoo.ops.selective_scan import cuda as scan
from zoo.ops.selective_scan import cuda_plan as plan

FOLDER = scan.FOLDER
FLAGS = ("ORDERED", "VECTOR", "GATED", "SOFTPLUS", "ZOH")
SHAPES = list(plan.SHAPES.values())
ALL = list(itertools.product((0, 1), repeat=5))
ONE_OR_ALL = [flags for flags in ALL if sum(flags) in (1, 5)]  # with their opposites: any three of the five, each way
OTHERS = [(8, 0), (20, 1), (48, 2), (20, 3)]  # STATE, and which of its launches

pytestmark = pytest.mark.skipif(nvrtc.problem() is not None, reason=f"no NVRTC: {nvrtc.problem()}")


@functools.cache
def code(source: Path, macros: frozenset[tuple[str, int]]) -> bytes:
    """Machine code of a variant; launches that share one compile it once."""
    return nvrtc.compile(source, dict(macros), 90).cubin


def compiles(source: Path, macros: dict[str, int]) -> None:
    assert code(source, frozenset(macros.items()))[:4] == b"\x7fELF"


def test_the_list_has_any_three_of_flags_and_launch_in_every_way():
    both = [*((*flags, 0) for flags in ONE_OR_ALL), *((*opposite(flags), 1) for flags in ONE_OR_ALL)]
    for chosen in itertools.combinations(range(6), 3):
        assert len({tuple(row[i] for i in chosen) for row in both}) == 8


@pytest.mark.parametrize("flags", ONE_OR_ALL, ids=str)
def test_scan_of_sixteen_states(flags):
    i = ONE_OR_ALL.index(flags)
    compile_scan(0, 16, 0, flags, shapes=[SHAPES[i]])
    compile_scan(1, 16, 0, opposite(flags), shapes=[SHAPES[-i], SHAPES[i - 2]])


def test_the_list_is_long_enough_for_every_shape():
    assert len(ONE_OR_ALL) >= len(SHAPES)


@pytest.mark.long
@pytest.mark.parametrize("kind", driver.KINDS.values())
@pytest.mark.parametrize("flags", ALL, ids=str)
def test_scan_in_every_variant(kind, flags):
    for state, group in [(16, 0), *OTHERS]:
        compile_scan(kind, state, group, flags, SHAPES)


@pytest.mark.parametrize(("kind", "state", "group"), [(2, 16, 0), *((k, *o) for k in (0, 1, 2) for o in OTHERS)])
def test_scan_of_other_states_and_formats(kind, state, group):
    flags = (1, 0, 1, 1, 1)
    compile_scan(kind, state, group, flags if kind % 2 else opposite(flags), SHAPES[(state + group) % 2 :: 2])


def opposite(flags: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 - flag for flag in flags)


@pytest.mark.parametrize("kind", driver.KINDS.values())
def test_scan_in_several_directions(kind):
    compile_scan(kind, 16, 0, (1, 1, 1, 1, 0), SHAPES[kind::3], DIRECTIONS=1)


def compile_scan(kind: int, state: int, group: int, values: tuple[int, ...], shapes, **more) -> None:
    flags = dict(zip(FLAGS, values))
    macros = {"IO_KIND": kind, "STATE": state, "GROUP": group} | flags | more
    for shape in shapes:
        compiles(FOLDER / "scan_forward.cu", macros | shape.macros())
    few_registers = kind == 1 and not flags["ZOH"]
    backward = plan.Backward(64, 3 if few_registers else 2).macros() | {"AGAIN": flags["GATED"]}
    compiles(FOLDER / "scan_backward.cu", macros | backward)
    carry = {k: v for k, v in macros.items() if k not in ("GROUP", "VECTOR")}
    compiles(FOLDER / "scan_carry.cu", carry | {"REVERSE": flags["VECTOR"]})  # either way, for each format and state
    compiles(FOLDER / "scan_reduce.cu", {"IO_KIND": kind, "STATE": state, "ZOH": flags["ZOH"]})


CONV_FLAGS = ("ORDERED", "VECTOR", "SILU")
WIDTHS_AND_KINDS = list(itertools.product(range(2, 9), driver.KINDS.values()))


def conv_flags(width: int, kind: int) -> tuple[int, ...]:
    flags = (1, (width >> 1) & 1, (width >> 2) & 1)
    return flags if (width + kind) % 2 else opposite(flags)


def test_the_list_has_each_flag_of_a_convolution_both_ways_for_each_width_and_format():
    rows = [(width, kind, *conv_flags(width, kind)) for width, kind in WIDTHS_AND_KINDS]
    assert len({row[2:] for row in rows}) == 8
    for fixed, flag in itertools.product((0, 1), (2, 3, 4)):
        assert len({(row[fixed], row[flag]) for row in rows}) == 2 * len({row[fixed] for row in rows})


@pytest.mark.parametrize(("width", "kind"), WIDTHS_AND_KINDS)
def test_convolution(width, kind):
    compile_conv(width, kind, conv_flags(width, kind))
    if width % 3 == kind:  # all directions in one: every width once, every format
        compile_conv(width, kind, (1, 1, 1), DIRECTIONS=1)


@pytest.mark.long
@pytest.mark.parametrize(("width", "kind"), WIDTHS_AND_KINDS)
def test_convolution_in_every_variant(width, kind):
    for flags in itertools.product((0, 1), repeat=3):
        compile_conv(width, kind, flags)
    compile_conv(width, kind, (1, 1, 1), DIRECTIONS=1)


def compile_conv(width: int, kind: int, flags: tuple[int, ...], **more: int) -> None:
    macros = {"IO_KIND": kind, "WIDTH": width, "VEC": 4 if width <= 4 else 2}
    compiles(conv.SOURCE, macros | dict(zip(CONV_FLAGS, flags)) | more)


# Every tile, every size, and any two of width, kind and order together.
WAYS = zip(
    (32, 64, 96, 128, 96, 32, 64, 96, 32),
    (4, 3, 2, 3, 3, 2, 4, 4, 3),
    (0, 1, 1, 0, 1, 0, 1, 0, 1),
    (1, 0, 1, 0, 1, 0, 0, 1, 0),
)
FRONTS = [(tile, *way) for tile, way in zip(front.TILES, WAYS, strict=True)]


@pytest.mark.parametrize(("tile", "rank", "width", "kind", "ordered"), FRONTS, ids=str)
def test_front_of_a_mixer(tile, rank, width, kind, ordered):
    """The source asserts that it counts shared memory as Python does."""
    macros = tile.macros(width, rank, rank + 32 if rank < 128 else 128, kind, bool(ordered))
    compiles(front.SOURCE, macros)
    assert tile.MIN_BLOCKS * (macros["SHARED"] + 1024) <= 228 * 1024  # of a multiprocessor


def test_sum_of_rows():
    compiles(driver.REDUCE, {"IO_KIND": 0})


def test_the_cache_gives_what_was_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    first = nvrtc.build(driver.REDUCE, {"IO_KIND": 0}, 90)
    assert nvrtc.build(driver.REDUCE, {"IO_KIND": 0}, 90) == first
    assert len(list(tmp_path.rglob("*.cubin"))) == 1
