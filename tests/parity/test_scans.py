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
]


@pytest.mark.parametrize("size", PUBLISHED)
@pytest.mark.parametrize("name, fields, published", CASES, ids=lambda v: str(v) if isinstance(v, (str, dict)) else "")
def test_orders_equal_the_published_ones(size, name, fields, published):
    if published[0] not in PUBLISHED[size]:
        pytest.skip("not published at this size")
    patterns = registry.find("scan", name).load()(Grid(*map(int, size.split("x"))), **fields)
    expected = [[cell for cell in PUBLISHED[size][key] if cell >= 0] for key in published]  # -1 is a published pad
    assert [np.ravel(p).tolist() for p in patterns] == expected
