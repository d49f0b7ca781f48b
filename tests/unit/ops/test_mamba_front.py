"""Where the kernel in front of the scan runs, and in which tiles."""

import pytest
import torch

from zoo.ops.mamba import cuda_front as front


@pytest.mark.parametrize(("length", "tile", "microseconds"), [
    (274, (64, 8), 14.6), (1058, (64, 8), 25.5), (2354, (64, 4), 43.3), (3662, (128, 4), 55.6), (4162, (64, 2), 61.7),
    (6482, (128, 2), 103.2), (9314, (64, 2), 137.0),
])  # fmt: skip
def test_the_tile_is_the_one_that_was_fastest_on_an_h200(length, tile, microseconds):
    """Two samples, 3,072 channels: of all variants measured, by docs/kernels.md."""
    assert front.tile_for(2, length, 3072, 132) == tile
    assert front._time(front.Tile(*tile), 2, length, 3072, 132) == pytest.approx(microseconds, rel=0.12)


def test_more_work_never_takes_less_time():
    for tile in front.TILES:
        times = [front._time(tile, n, 273, 1024, 132) for n in range(1, 200)]
        assert times == sorted(times)


def test_a_cpu_and_other_numbers_are_left_to_the_parts():
    n, weights = torch.zeros(2, 100, 32), [torch.zeros(64, 3), None, torch.zeros(64, 64), torch.zeros(64, 32)]
    assert not front.takes(n, *weights, None, 16)
    assert not front.takes(n.bfloat16(), *(None if t is None else t.bfloat16() for t in weights), None, 16)
