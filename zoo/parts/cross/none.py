"""No cross-attention sublayer."""

from __future__ import annotations

from zoo.registry import register


@register("cross", "none")
def none(width: int, depth: int) -> None:
    """The block has no such sublayer."""
