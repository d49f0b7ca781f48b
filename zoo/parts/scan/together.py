"""All orders of a scan inside every block."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zoo.grid import Grid
from zoo.parts.protocols import Scan
from zoo.registry import Make, register


@register("scan", "together")
def together(
    grid: Grid,
    *,
    of: Make[Scan] = "cross",  # the scan whose orders a block takes all at once
) -> list[np.ndarray]:
    """Every block receives all orders, for a mixer with as many `directions`: one array (directions, rows, steps).

    Source: VMamba (arXiv 2401.10166, SS2D), where four orders are scanned in one block and summed.
    """
    scan: Callable[..., Any] = of
    return [np.stack([np.atleast_2d(order) for order in scan(grid)])]
