"""Every scan is its paper's definition, cell by cell, on squares, oblongs, single lines and odd primes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from zoo import registry
from zoo.grid import Grid

SIZES = [(1, 7), (7, 1), (2, 3), (3, 2), (4, 6), (6, 4), (5, 7), (7, 7), (8, 8), (11, 13), (13, 5), (16, 12), (1, 1)]
sizes = pytest.mark.parametrize("H, W", SIZES)


def orders(name: str, H: int, W: int, **fields) -> list[list[int]]:
    return [np.ravel(order).tolist() for order in registry.find("scan", name).load()(Grid(H, W), **fields)]


def corners(H: int, W: int) -> Iterator[tuple]:
    """Row and column counted from the corners top left, top right, bottom left, bottom right."""
    for top in (True, False):
        for left in (True, False):
            yield (lambda i, top=top: i if top else H - 1 - i), (lambda j, left=left: j if left else W - 1 - j)


@sizes
@pytest.mark.parametrize("name, turns", [("zigzag", True), ("sweep", False)])
def test_rows_and_columns_from_all_corners(H, W, name, turns):
    expected = []
    for R, C in corners(H, W):
        expected.append([R(i) * W + C(m if not turns or i % 2 == 0 else W - 1 - m) for i in range(H) for m in range(W)])
        expected.append([R(m if not turns or j % 2 == 0 else H - 1 - m) * W + C(j) for j in range(W) for m in range(H)])
    for count in range(1, 9):
        assert orders(name, H, W, count=count) == expected[:count]


@sizes
def test_rows_and_columns_there_and_back(H, W):
    rows, columns = list(range(H * W)), [r * W + c for c in range(W) for r in range(H)]
    assert orders("raster", H, W) == [rows]
    assert orders("two_way", H, W) == [rows, rows[::-1]]
    assert orders("four_way", H, W) == [rows, rows[::-1], columns, columns[::-1]]
    assert orders("cross", H, W) == [rows, columns, rows[::-1], columns[::-1]]


@sizes
def test_plainmambas_continuous_scan_begins_where_its_text_says(H, W):
    """The second from the bottom, at the left if H is even; the fourth from the right, at the top if W is even."""
    upwards, leftwards = [], []
    for k, r in enumerate(range(H - 1, -1, -1)):
        row = range(W) if (k % 2 == 0) == (H % 2 == 0) else range(W - 1, -1, -1)
        upwards += [r * W + c for c in row]
    for k, c in enumerate(range(W - 1, -1, -1)):
        column = range(H) if (k % 2 == 0) == (W % 2 == 0) else range(H - 1, -1, -1)
        leftwards += [r * W + c for r in column]
    zigzag = orders("zigzag", H, W, count=2)
    assert orders("continuous", H, W) == [zigzag[0], upwards, zigzag[1], leftwards]


@sizes
@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_windows_are_localmambas_without_the_cells_that_it_pads(H, W, size):
    down, right = range(-(-H // size)), range(-(-W // size))
    inside = range(size)
    by_rows = [(a * size + r, b * size + c) for a in down for b in right for r in inside for c in inside]
    by_columns = [(a * size + r, b * size + c) for b in right for a in down for c in inside for r in inside]
    rows, columns = ([r * W + c for r, c in places if r < H and c < W] for places in (by_rows, by_columns))
    assert orders("windows", H, W, size=size) == [rows, rows[::-1], columns, columns[::-1]]


@sizes
def test_dilated_parts_are_efficientvmambas(H, W):
    def part(row: int, column: int) -> list[int]:
        places = [(r, c) for r in range(row, H, 2) for c in range(column, W, 2)]
        return [r * W + c for r, c in (sorted(places, key=lambda p: p[::-1]) if row else places)]

    expected = [*part(0, 0), *part(1, 0), *part(0, 1), *part(1, 1)]
    assert orders("dilated", H, W) == [expected, expected[::-1]]


@sizes
def test_mortons_order_is_by_interleaved_bits(H, W):
    def key(cell: int) -> int:
        row, column = (f"{n:06b}" for n in divmod(cell, W))
        return int("".join(r + c for r, c in zip(row, column)), 2)

    assert orders("morton", H, W, count=1) == [sorted(range(H * W), key=key)]


@sizes
def test_a_spiral_turns_right_where_it_cannot_go_on(H, W):
    place, way, seen = (0, 0), (0, 1), [(0, 0)]
    while len(seen) < H * W:
        ahead = (place[0] + way[0], place[1] + way[1])
        if 0 <= ahead[0] < H and 0 <= ahead[1] < W and ahead not in seen:
            place = ahead
            seen.append(place)
        else:
            way = (way[1], -way[0])
    expected = [r * W + c for r, c in seen]
    assert orders("spiral", H, W, count=2) == [expected, expected[::-1]]


@sizes
def test_diagonals_are_those_of_jpeg_from_each_corner(H, W):
    def curve(height: int, width: int) -> list[tuple[int, int]]:
        lines = [[(r, s - r) for r in range(height) if 0 <= s - r < width] for s in range(height + width - 1)]
        return [place for s, line in enumerate(lines) for place in (line if s % 2 else line[::-1])]

    expected = []
    for R, C in corners(H, W):
        expected.append([R(r) * W + C(c) for r, c in curve(H, W)])
        expected.append([R(r) * W + C(c) for c, r in curve(W, H)])
    assert orders("diagonal", H, W) == expected


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5])
def test_hilberts_curve_of_a_power_of_two_is_hilberts(bits):
    """By the definition with bits: quarters in turn, the first and the last of them turned."""
    side = 2**bits

    def place(d: int) -> tuple[int, int]:
        x = y = 0
        for s in (2**k for k in range(bits)):
            rx, ry = d // 2 & 1, (d ^ d // 2) & 1
            if not ry:
                x, y = (s - 1 - x, s - 1 - y) if rx else (x, y)
                x, y = y, x
            x, y, d = x + s * rx, y + s * ry, d // 4
        return x, y

    curve = [place(d) for d in range(side**2)]
    images = [[r * side + c for r, c in curve], [c * side + r for r, c in curve]]
    found = orders("hilbert", side, side)
    assert found[0] in images and len({tuple(order) for order in found}) == 8
    assert [np.argsort(order).tolist() for order in found] == orders("hilbert", side, side, inverse=True)


@pytest.mark.parametrize("side", [1, 3, 9, 27])
def test_peanos_curve_of_a_power_of_three_is_peanos(side):
    """Columns of three parts there and back; a part is flipped upside down in odd columns, sideways in odd rows."""

    def curve(n: int) -> np.ndarray:
        if n == 1:
            return np.zeros((1, 2), int)
        part, m, steps = curve(n // 3), n // 3, []
        for a in range(3):
            for b in range(3) if a % 2 == 0 else range(2, -1, -1):
                r = m - 1 - part[:, 0] if a % 2 else part[:, 0]
                c = m - 1 - part[:, 1] if b % 2 else part[:, 1]
                steps.append(np.stack([b * m + r, a * m + c], 1))
        return np.concatenate(steps)

    assert orders("peano", side, side, count=1) == [(curve(side) @ [side, 1]).tolist()]


@sizes
@pytest.mark.parametrize("name", ["hilbert", "peano", "morton", "spiral"])
def test_images_are_the_eight_ways_to_turn_the_grid(H, W, name):
    """The k-th order is the first one of the grid turned by k/2 quarters, transposed before that if k is odd."""
    step = 2 if name == "spiral" else 1
    found = orders(name, H, W, **({"count": 16} if name == "spiral" else {}))[::step]
    for k, order in enumerate(found):
        cells = np.arange(H * W).reshape(H, W)
        view = np.rot90(cells.T if k % 2 else cells, -(k // 2))
        assert order == view.ravel()[orders(name, *view.shape, count=1)[0]].tolist()


@sizes
@pytest.mark.parametrize("name", ["random"])
def test_shuffles_are_permutations_that_differ(H, W, name):
    found = orders(name, H, W)
    assert all(sorted(order) == list(range(H * W)) for order in found) and len(found) == 8
    assert H * W < 6 or len({tuple(order) for order in found}) == 8
