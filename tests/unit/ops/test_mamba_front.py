"""Where the kernel in front of the scan runs, and in which tiles."""

import pytest
import torch

from zoo.ops.mamba import cuda_front as front


@pytest.mark.parametrize(("length", "tile", "microseconds"), [
    (366, (64, 8), 16.4), (1230, (64, 8), 27.4), (2606, (64, 4), 44.6), (3974, (128, 4), 58.5), (4494, (128, 3), 76.9),
    (6894, (128, 2), 104.0), (9806, (64, 2), 147.8),
])  # fmt: skip
def test_the_tile_is_the_one_that_was_fastest_on_an_h200(length, tile, microseconds):
    """DiM-H at 256 to 1536 pixels, two samples: of all variants measured, by docs/kernels.md."""
    assert front.tile_for(2, length, 3072, 132) == tile
    assert front._time(front.Tile(*tile), 2, length, 3072, 132) == pytest.approx(microseconds, rel=0.1)


def test_more_work_never_takes_less_time():
    for tile in front.TILES:
        times = [front._time(tile, n, 273, 1024, 132) for n in range(1, 200)]
        assert times == sorted(times)


def test_a_cpu_and_other_numbers_are_left_to_the_parts():
    n, weights = torch.zeros(2, 100, 32), [torch.zeros(64, 3), None, torch.zeros(64, 64), torch.zeros(64, 32)]
    assert not front.takes(n, *weights, None, 16)
    assert not front.takes(n.bfloat16(), *(None if t is None else t.bfloat16() for t in weights), None, 16)
