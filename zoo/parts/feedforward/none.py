"""No feedforward sublayer."""

from __future__ import annotations

from zoo.registry import register


@register("feedforward", "none")
def none(width: int, depth: int) -> None:
    """The block has no such sublayer."""
