"""Tables of names that read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from torch import Tensor

WILD = {"i": r"\d+", "p": "weight|bias", "way": r"(?:inner\.)?(?:directions\.\d\.)?", "rest": ".+"}


class Layout(NamedTuple):
    """How a tensor's axes change on the way to us, and back."""

    ours: Callable[[Tensor], Tensor]
    theirs: Callable[[Tensor], Tensor]


FIRST = Layout(lambda x: x[0], lambda x: x[None])
"""The published tensor has a first axis of one that ours has not."""
AXIS = Layout(lambda x: x[None], lambda x: x[0])
"""Ours has a first axis of one that the published tensor has not."""
CHANNELS = Layout(lambda x: x[:, 0], lambda x: x[:, None])
"""The weight of a depthwise convolution, (D,1,K) as published, (D,K) here."""


@dataclass(frozen=True)
class Rename:
    """A published name and ours, with wild cards that stand for the same on both sides.

    `{i}` is a number, `{p}` weight or bias, `{way}` nothing or one direction of a mixer, `{rest}` anything.
    """

    theirs: str
    ours: str
    layout: Layout | None = None


def rename(state: Mapping[str, Tensor], names: list[Rename], back: bool = False) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors under our names, or under published ones if `back`, and the names that no rule knows."""
    moved, left_over = {}, []
    for name, tensor in state.items():
        for rule in names:
            known, wanted = (rule.ours, rule.theirs) if back else (rule.theirs, rule.ours)
            if match := _pattern(known).fullmatch(name):
                moved[wanted.format(**match.groupdict())] = _laid_out(tensor, rule.layout, back)
                break
        else:
            left_over.append(name)
    return moved, left_over


@cache
def _pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name)
    for key, wild in WILD.items():
        text = text.replace(rf"\{{{key}\}}", f"(?P<{key}>{wild})")
    return re.compile(text)


def _laid_out(tensor: Tensor, layout: Layout | None, back: bool) -> Tensor:
    if layout is None:
        return tensor
    return (layout.theirs if back else layout.ours)(tensor).contiguous()
