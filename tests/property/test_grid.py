"""Grids crop what they pad, and orders are permutations with the tokens where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.errors import ShapeError
from zoo.grid import Grid

sizes = st.integers(1, 9)


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, st.integers(1, 3), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
def test_crop_returns_the_content_in_raster_order(h, w, frames, prefix, bottom, right):
    grid = Grid(h + bottom, w + right, frames, prefix, bottom, right)
    marks = torch.full((frames, h + bottom, w + right), -1)
    marks[:, :h, :w] = torch.arange(frames * h * w).view(frames, h, w)
    sequence = torch.cat([torch.full((prefix,), -2), marks.flatten()])[None, :, None]
    assert grid.crop(sequence)[0, :, 0].tolist() == list(range(grid.content.cells))


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, st.integers(0, 4), st.booleans(), st.sampled_from(["front", "end"]), st.booleans(), st.booleans())
def test_orders_are_permutations_with_the_prefix_at_its_end(h, w, prefix, ends, at, columns, backwards):
    grid = Grid(h, w, prefix=prefix, line_ends=max(h, w) if ends else 0)
    cells = np.arange(h * w).reshape(h, w)
    pattern = (cells.T if columns else cells).ravel()[:: -1 if backwards else 1]
    order = grid.order(pattern, at)
    assert sorted(order) == list(range(grid.length))
    tokens = order[:prefix] if at == "front" else order[len(order) - prefix :]
    assert tokens.tolist() == list(range(prefix))
    assert [v - prefix for v in order if prefix <= v < prefix + grid.cells] == pattern.tolist()


def test_line_ends_follow_each_row_or_column_as_it_is_scanned():
    grid = Grid(2, 3, prefix=1, line_ends=3)
    rows = np.arange(6)
    columns = rows.reshape(2, 3).T.ravel()
    assert grid.order(rows).tolist() == [0, 1, 2, 3, 7, 4, 5, 6, 8, 9]
    assert grid.order(rows[::-1]).tolist() == [0, 6, 5, 4, 8, 3, 2, 1, 7, 9]
    assert grid.order(columns, "end").tolist() == [1, 4, 7, 2, 5, 8, 3, 6, 9, 0]


@pytest.mark.parametrize("pattern", [[0, 1, 2, 2], [0, 1, 2], [0, 1, 2, 4], [-1, 0, 1, 2]])
def test_what_is_no_permutation_is_refused(pattern):
    with pytest.raises(ShapeError, match="visit each of the 4 cells"):
        Grid(2, 2).order(np.array(pattern))


def test_several_rows_have_no_place_for_a_prefix():
    rows = np.arange(4).reshape(2, 2)
    assert Grid(2, 2).order(rows).tolist() == [[0, 1], [2, 3]]
    with pytest.raises(ShapeError, match="no place for prefix"):
        replace(Grid(2, 2), prefix=1).order(rows)
