"""The grid of tokens: its size travels with the sequence, so that nobody takes a square root.

A sequence holds `prefix` tokens, then the cells of `frames` frames in raster order, then `line_ends`
tokens. The last `pad_bottom` rows and `pad_right` columns of each frame are pads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from zoo.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Sizes of a token grid, all in tokens; hashable, without torch."""

    height: int
    width: int
    frames: int = 1
    prefix: int = 0
    pad_bottom: int = 0
    pad_right: int = 0
    line_ends: int = 0

    @property
    def sizes(self) -> tuple[int, ...]:
        """All fields, so that Grid(*grid.sizes) == grid: what a compiler can hold as a constant."""
        return (self.height, self.width, self.frames, self.prefix, self.pad_bottom, self.pad_right, self.line_ends)

    @property
    def cells(self) -> int:
        """Cells of all frames, pads included."""
        return self.frames * self.height * self.width

    @property
    def length(self) -> int:
        """Tokens of the whole sequence."""
        return self.prefix + self.cells + self.line_ends

    @property
    def content(self) -> Grid:
        """The same grid without prefix, pads and line ends: one cell a patch."""
        return Grid(self.height - self.pad_bottom, self.width - self.pad_right, self.frames)

    def crop(self, x_BLD: Tensor) -> Tensor:
        """The patches' tokens in raster order: (B, length, D) -> (B, content.cells, D)."""
        cells = x_BLD[:, self.prefix : self.prefix + self.cells]
        if not (self.pad_bottom or self.pad_right):
            return cells
        inner = self.content
        frames = cells.reshape(len(cells), self.frames, self.height, self.width, -1)
        return frames[:, :, : inner.height, : inner.width].reshape(len(cells), inner.cells, -1)

    def order(self, cells: np.ndarray, tokens_at: Literal["front", "end"] = "front") -> np.ndarray:
        """The order in which tokens are visited, from the order of the cells.

        Args:
            cells: raster indices of all cells, (cells,) for one sequence or (S, steps) for S
                independent ones.
            tokens_at: whether the prefix is visited before or after the cells.

        Returns:
            Positions in the sequence, (length,) or (S, steps), int32.

        Raises:
            ShapeError: if the rows are not together a permutation of the cells, or if there are
                several rows and also prefix or line-end tokens, which belong to no row.
        """
        rows = np.atleast_2d(np.asarray(cells))
        if not np.array_equal(np.sort(rows, axis=None), np.arange(self.cells)):
            raise ShapeError(f"a scan order must visit each of the {self.cells} cells of {self} once")
        if len(rows) > 1:
            if self.prefix or self.line_ends:
                raise ShapeError(f"a scan of {len(rows)} independent sequences has no place for prefix or "
                                 "line-end tokens", fix="condition by modulation and use padding none")
            return rows.astype(np.int32)
        visited = self._with_line_ends(rows[0]) + self.prefix
        tokens = np.arange(self.prefix)
        both = (tokens, visited) if tokens_at == "front" else (visited, tokens)
        return np.concatenate(both).astype(np.int32)

    def _with_line_ends(self, cells: np.ndarray) -> np.ndarray:
        """Insert the line-end token of each row or column behind the last of its cells, in scan order.

        Lines are rows if the scan's first step is along a row, else columns; line k owns line-end
        token k. Tokens without a line (the shorter side of an oblong grid) come last.
        """
        if not self.line_ends:
            return cells
        frame, cell = np.divmod(cells, self.height * self.width)
        row, column = np.divmod(cell, self.width)
        row_wise = self.width == 1 or row[0] == row[1]
        lines = frame * self.height + row if row_wise else frame * self.width + column
        if (count := int(lines.max()) + 1) > self.line_ends:
            raise ShapeError(f"a scan of {count} lines needs as many line-end tokens, not {self.line_ends}")
        present, last = np.unique(lines[::-1], return_index=True)  # the last step of each line
        ends = np.arange(self.line_ends) + self.cells
        rest = np.setdiff1d(ends, ends[present])
        return np.concatenate([np.insert(cells, len(cells) - last, ends[present]), rest])
