"""Long connections through two linear maps."""

from __future__ import annotations

from typing import Literal

from zoo.parts.skip.long_concat import LongConcat
from zoo.registry import register


@register("skip", "two_linear")
class TwoLinear(LongConcat):
    """`long_concat` as two linear maps, one of the stream and one of the early block's output, each with a bias.

    The same function of both, drawn otherwise at the start and with D weights more. Errors: RecipeError for an even
    depth. Source: DiM (arXiv 2405.14224) as released, where tokens are wider than 512.
    """

    biases = 2

    def __init__(
        self,
        width: int,
        depth: int,
        *,
        start: Literal[0, 1] = 0,  # the first block whose output is used; 1 as DiM: one block reads its own input twice
        tune: float = 1.0,  # factor of the last skip; those before it lie evenly between 1 and it
    ):
        super().__init__(width, depth, start=start, tune=tune)
