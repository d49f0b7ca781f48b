"""Every scan is a permutation on any grid, with any of its fields, and keeps what its name promises."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo import registry
from zoo.errors import RecipeError, ShapeError
from zoo.grid import Grid

sizes, frames = st.integers(1, 14), st.integers(1, 3)
FIELDS = {  # beside the defaults
    "windows": [{"size": 3}, {"size": 1}, {"size": 20}],
    "dilated": [{"step": 3}, {"step": 1}],
    "random": [{"count": 2, "seed": 7}],
    "hilbert": [{"inverse": True}],
    "spiral": [{"count": 16}],
}


def scan(name: str, **fields):
    part = registry.find("scan", name)
    inner = {f.name: scan(f.default) for f in part.fields.values() if f.type.name == "part"}
    return partial(part.load(), **{**inner, **fields})


def steps(order: np.ndarray, grid: Grid) -> np.ndarray:
    """How far each step goes, in cells along rows and columns together; steps between frames are left out."""
    places = np.stack(np.unravel_index(order, (grid.frames, grid.height, grid.width)), 1)
    moves = np.abs(np.diff(places, axis=0))
    return moves[moves[:, 0] == 0][:, 1:].sum(1)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, frames, st.sampled_from([p.name for p in registry.parts("scan")]), st.integers(0, 3))
def test_every_order_visits_every_cell_once(height, width, count, name, k):
    grid = Grid(height, width, count)
    fields = [{}, *FIELDS.get(name, [])]
    for pattern in scan(name, **fields[k % len(fields)])(grid):
        for order in pattern if pattern.ndim == 3 else [pattern]:
            assert np.array_equal(np.sort(order, axis=None), np.arange(grid.cells))


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, frames, st.sampled_from(["zigzag", "continuous", "spiral"]))
def test_serpentines_and_spirals_only_step_to_neighbours(height, width, count, name):
    grid = Grid(height, width, count)
    assert all((steps(order, grid) == 1).all() for order in scan(name)(grid))


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, frames)
def test_hilberts_curve_steps_to_neighbours_but_for_one_diagonal_where_it_must(height, width, count):
    grid = Grid(height, width, count)
    long, short = max(height, width), min(height, width)
    diagonals = long % 2 and short % 2 == 0 and short >= 4
    for order in scan("hilbert")(grid):
        gone = steps(order, grid)
        assert (gone == 2).sum() == (count if diagonals else 0) and gone.max(initial=1) <= 2


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, frames)
def test_peanos_curve_steps_to_neighbours_where_both_sides_are_odd(height, width, count):
    grid = Grid(height | 1, width | 1, count)
    assert all((steps(order, grid) == 1).all() for order in scan("peano")(grid))


@pytest.mark.parametrize("name", ["hilbert", "peano", "morton"])
def test_a_curve_keeps_each_quarter_or_ninth_together(name):
    side, part = (9, 3) if name == "peano" else (8, 4)
    for order in scan(name)(Grid(side, side)):
        blocks = (order // side // part) * (side // part) + order % side // part
        assert (np.diff(blocks) != 0).sum() == (side // part) ** 2 - 1


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, frames, st.sampled_from([1, 2, 3]))
def test_independent_parts_are_the_same_cells_as_in_one_sequence(height, width, count, size):
    grid = Grid(height * size, width * size, count)
    for name, field in (("windows", "size"), ("dilated", "step")):
        together, apart = (scan(name, **{field: size}, independent=i)(grid)[0] for i in (False, True))
        length = apart.shape[1]
        assert {tuple(row) for row in apart} == {tuple(row) for row in together.reshape(-1, length)}
        assert all(len(set(row // (grid.height * grid.width))) == 1 for row in apart), "a part lies in one frame"


@pytest.mark.parametrize("name", ["zigzag", "sweep", "hilbert", "peano", "morton", "diagonal"])
def test_half_of_the_eight_orders_begin_with_the_last_frame(name):
    grid = Grid(3, 4, frames=3)
    first = [int(order[0]) // 12 for order in scan(name)(grid)]
    assert first == [0] * 4 + [2] * 4


def test_random_orders_never_change():
    first, second = scan("random", count=2)(Grid(2, 4))
    assert first.tolist() == [0, 2, 1, 5, 4, 3, 6, 7]
    assert second.tolist() == scan("random", count=8)(Grid(2, 4))[1].tolist() != first.tolist()
    assert scan("random", count=1, seed=1)(Grid(2, 4))[0].tolist() != first.tolist()


@pytest.mark.parametrize("name, fields", [("windows", {"size": 0}), ("dilated", {"step": 0}), ("random", {"count": 0}),
                                          ("random", {"seed": -1})])  # fmt: skip
def test_a_number_that_is_too_small_is_refused_by_name(name, fields):
    with pytest.raises(RecipeError, match=rf"backbone.scan.{next(iter(fields))}.*or more"):
        scan(name, **fields)(Grid(4, 4))


@pytest.mark.parametrize("name, fields", [("windows", {"size": 4}), ("dilated", {"step": 4})])
def test_independent_parts_of_different_length_are_refused_with_a_way_out(name, fields):
    with pytest.raises(ShapeError, match="independent: false"):
        scan(name, **fields, independent=True)(Grid(4, 6))


def test_line_ends_follow_the_last_cell_of_their_line_in_any_scan():
    grid = Grid(4, 6, frames=2, line_ends=12)
    for part in registry.parts("scan"):
        for pattern in scan(part.name)(Grid(4, 6, frames=2)):
            for order in pattern if pattern.ndim == 3 else [pattern]:
                if order.ndim == 2 and len(order) > 1:
                    continue  # independent sequences have no line ends
                visited = grid.order(order).tolist()
                row_wise = order.ravel()[0] // 6 % 4 == order.ravel()[1] // 6 % 4
                lines = [(range(r * 6, r * 6 + 6)) for r in range(8)] if row_wise else [
                    range(f * 24 + c, f * 24 + 24, 6) for f in range(2) for c in range(6)]
                for k, line in enumerate(lines):
                    assert visited.index(48 + k) == max(map(visited.index, line)) + 1
