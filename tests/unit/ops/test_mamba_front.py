"""Where the kernel in front of the scan runs, and in which tiles."""

from types import SimpleNamespace

import pytest
import torch

from zoo.ops.mamba import cuda_front as front


@pytest.mark.parametrize(("length", "tile", "microseconds"), [
    (366, (64, 8), 16.4), (1230, (64, 8), 27.4), (2606, (64, 4), 44.6), (3974, (128, 4), 58.5), (4494, (128, 3), 76.9),
    (6894, (128, 2), 104.0), (9806, (64, 2), 147.8),
])  # fmt: skip
def test_the_tile_is_one_within_a_percent_of_the_fastest_on_an_h200(length, tile, microseconds):
    """DiM-H at 256 to 1536 pixels, two samples; what was measured, see docs/kernels.md."""
    assert front.tile_for(2, length, 3072, 132) == tile
    assert front._time(front.Tile(*tile), 2, length, 3072, 132) == pytest.approx(microseconds, rel=0.1)


def test_more_work_never_takes_less_time():
    for tile in front.TILES:
        times = [front._time(tile, n, 273, 1024, 132) for n in range(1, 200)]
        assert times == sorted(times)


@pytest.fixture
def hopper(monkeypatch):
    """Tensors here count as on a GPU that can run the kernel."""
    monkeypatch.setattr(front, "unfit", lambda device, dtype: None)
    monkeypatch.setattr(front, "choose", lambda op, problem: SimpleNamespace(name="cuda"))


def arguments(batch=2, length=100, channels=64, rank=32, width=3, dtype=torch.bfloat16, taps=torch.bfloat16, lines=1):
    n = torch.empty(batch, length, 32, dtype=dtype)
    projections = [torch.empty(*size, dtype=dtype) for size in ((rank + 32, channels), (channels, rank))]
    order = torch.arange(length).view(lines, -1)
    return n, torch.empty(channels, width, dtype=taps), torch.empty(channels, dtype=taps), *projections, order, 16


@pytest.mark.parametrize("fits", [{}, {"taps": torch.float32, "width": 4}, {"rank": 64, "lines": 2}, {"rank": 96}])
def test_it_takes_what_it_was_made_for(hopper, fits):
    assert front.takes(*arguments(**fits))


@pytest.mark.parametrize("other", [
    {"batch": 0}, {"length": 47}, {"lines": 5}, {"channels": 96}, {"rank": 16}, {"rank": 128}, {"width": 5},
    {"dtype": torch.float32}, {"dtype": torch.float16}, {"taps": torch.float16},
], ids=str)  # fmt: skip
def test_the_rest_is_left_to_the_parts(hopper, other):
    assert not front.takes(*arguments(**other))


def test_several_directions_and_slices_are_left_to_the_parts(hopper):
    n, weight, bias, x_proj, dt_proj, order, state = arguments()
    assert not front.takes(n, weight, bias, x_proj, dt_proj, order[None].repeat(2, 1, 1), state)
    wide = torch.empty(len(x_proj), 2 * x_proj.shape[1], dtype=x_proj.dtype)[:, : x_proj.shape[1]]
    assert not front.takes(n, weight, bias, wide, dt_proj, order, state)
    assert not front.takes(n, weight.float(), bias, x_proj, dt_proj, order, state)


def test_a_cpu_has_its_own_way():
    assert front.unfit(torch.device("cpu")) == "tensors are on cpu"
    assert not front.takes(*arguments())
