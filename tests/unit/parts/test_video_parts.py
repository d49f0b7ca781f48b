"""Parts for videos: orders of the axes, and positions over frames, rows and columns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zoo.errors import RecipeError
from zoo.grid import Grid
from zoo.parts.position.sincos_space_time import SinCosSpaceTimePosition
from zoo.parts.scan.axes import axes

GRID = Grid(2, 3, frames=4)


@pytest.mark.parametrize("order", ["thw", "twh", "htw", "hwt", "wth", "wht"])
def test_the_last_axis_of_an_order_changes_fastest_and_the_first_slowest(order):
    (visited,) = axes(GRID, orders=[order])
    places = dict(zip("thw", np.unravel_index(visited, (4, 2, 3))))
    assert np.array_equal(np.lexsort([places[axis] for axis in reversed(order)]), np.arange(GRID.cells))


@pytest.mark.parametrize("orders", [["th"], ["thww"], ["xyz"], [], ["thw", ""]])
def test_other_orders_are_refused(orders):
    with pytest.raises(RecipeError, match=r"backbone\.scan\.orders"):
        axes(GRID, orders=orders)


def waves(grid: Grid, width: int = 32) -> torch.Tensor:
    position = SinCosSpaceTimePosition(width, grid, 1)
    prefix, tokens = position(torch.zeros(1, 1, width), torch.zeros(1, grid.cells, width), grid)
    assert not prefix.any()
    return tokens.view(grid.frames, grid.height, grid.width, width)


def test_positions_are_sines_and_cosines_of_frame_column_and_row():
    table = waves(GRID)
    falling = 10000.0 ** -(torch.arange(4) / 4)
    torch.testing.assert_close(table[3, 0, 0, :8], torch.cat([(3 * falling).sin(), (3 * falling).cos()]))
    falling = 10000.0 ** -(torch.arange(6) / 6)
    torch.testing.assert_close(table[0, 1, 2, 8:20], torch.cat([(2 * falling).sin(), (2 * falling).cos()]))
    torch.testing.assert_close(table[0, 1, 2, 20:], torch.cat([falling.sin(), falling.cos()]))


def test_every_cell_of_every_frame_has_another_position():
    assert len(waves(GRID).flatten(0, 2).unique(dim=0)) == GRID.cells


def test_a_longer_and_larger_video_begins_like_a_shorter_one():
    torch.testing.assert_close(waves(Grid(3, 5, frames=9))[:4, :2, :3], waves(GRID))


@pytest.mark.parametrize("width", [1, 2, 7, 15])
def test_widths_that_do_not_divide_leave_channels_as_they_are(width):
    assert waves(GRID, width).isfinite().all()
