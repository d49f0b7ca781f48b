"""Scan orders are those of the published systems, position by position, on 8 x 8 and 6 x 10 cells."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import registry
from zoo.grid import Grid

PUBLISHED = json.loads((Path(__file__).parent / "fixtures/scans/orders.json").read_text())
CASES = [  # our part with its fields, the published names
    ("zigzag", {}, [f"zigzag{k}" for k in range(8)]),
    ("sweep", {}, [f"sweep8.{k}" for k in range(8)]),
    ("hilbert", {"count": 1}, ["gilbert_visit"]),
    ("hilbert", {}, [f"hilbert.{k}" for k in range(8)]),
    ("hilbert", {"inverse": True}, [f"hilbert_shipped.{k}" for k in range(8)]),
    ("cross", {}, [f"cross4_vmamba.{k}" for k in range(4)]),
    ("four_way", {}, [f"dim_teng4.{k}" for k in range(4)]),
    ("continuous", {}, [f"plainmamba4.{k}" for k in range(4)]),
    ("diagonal", {}, [f"jpeg8.{k}" for k in range(8)]),
    ("windows", {"size": 2}, [f"window2.{way}" for way in ("row", "row.flip", "col", "col.flip")]),
    ("windows", {"size": 4}, [f"window4.{way}" for way in ("row", "row.flip", "col", "col.flip")]),
    ("morton", {"count": 1}, ["morton"]),
    ("spiral", {"count": 1}, ["spiral"]),
    ("peano", {"count": 1}, ["peano"]),
]
EVERYWHERE = [(size, *case) for size in PUBLISHED for case in CASES if case[2][0] in PUBLISHED[size]]


@pytest.mark.parametrize("size, name, fields, published", EVERYWHERE,
                         ids=[f"{size}-{published[0]}" for size, _, _, published in EVERYWHERE])
def test_orders_equal_the_published_ones(size, name, fields, published):
    patterns = registry.find("scan", name).load()(Grid(*map(int, size.split("x"))), **fields)
    expected = [[cell for cell in PUBLISHED[size][key] if cell >= 0] for key in published]  # -1 is a published pad
    assert [np.ravel(p).tolist() for p in patterns] == expected


@pytest.mark.parametrize("size", ["8x8", "6x10"])
def test_dilated_parts_are_the_published_ones_as_sequences_of_their_own(size):
    grid = Grid(*map(int, size.split("x")))
    parts = registry.find("scan", "dilated").load()(grid, independent=True)[0]
    assert parts.tolist() == [PUBLISHED[size][f"dilated2.{k}"] for k in range(4)]


def test_every_published_order_is_compared():
    known = {name for _, _, _, names in EVERYWHERE for name in names} | {f"dilated2.{k}" for k in range(4)}
    assert known == {name for orders in PUBLISHED.values() for name in orders}
