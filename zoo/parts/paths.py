"""Ways to look at a grid and ways through what one sees: what the scan orders are made of.

A view is an array (frames, rows, columns) of raster indices: the grid seen from another corner, or turned.
A path through a view visits its frames one after another.
"""

from __future__ import annotations

import numpy as np

from zoo.errors import ShapeError
from zoo.grid import Grid


def cells(grid: Grid) -> np.ndarray:
    """The raster index of every cell, (frames, height, width)."""
    return np.arange(grid.cells).reshape(grid.frames, grid.height, grid.width)


def from_corners(grid: Grid) -> list[np.ndarray]:
    """Eight views: from the corners top left, top right, bottom left and bottom right, each also transposed.

    Those from the bottom begin with the last frame.
    """
    seen = cells(grid)
    corners = [seen, seen[:, :, ::-1], seen[::-1, ::-1], seen[::-1, ::-1, ::-1]]
    return [view for corner in corners for view in (corner, corner.swapaxes(1, 2))]


def turned(grid: Grid) -> list[np.ndarray]:
    """Eight views: turned clockwise by 0, 90, 180 and 270 degrees, each also transposed before it is turned.

    The last four begin with the last frame.
    """
    seen = cells(grid)
    frames = [seen, seen, seen[::-1], seen[::-1]]
    return [np.rot90(view, -k, (1, 2)) for k, these in enumerate(frames) for view in (these, these.swapaxes(1, 2))]


def serpentine(view: np.ndarray) -> np.ndarray:
    """Row by row, every second one backwards: neighbours in the sequence are neighbours in the frame."""
    rows = view.copy()
    rows[:, 1::2] = rows[:, 1::2, ::-1]
    return rows.ravel()


def along(view: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Through the places (rows[k], columns[k]) of each frame."""
    return view[:, rows, columns].ravel()


def in_parts(parts: list[np.ndarray], independent: bool, refusal: str) -> np.ndarray:
    """Parts of every frame (frames, rows, columns), one after another: (cells,); or (frames * parts, steps).

    Raises: ShapeError with `refusal` if independent parts differ in length.
    """
    flat = [part.reshape(len(part), -1) for part in parts]
    if not independent:
        return np.concatenate(flat, 1).ravel()
    if len({part.shape[1] for part in flat}) > 1:
        raise ShapeError(refusal, fix="choose a size that divides both sides, pads included, or independent: false")
    return np.concatenate(flat)
