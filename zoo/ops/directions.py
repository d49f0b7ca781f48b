"""Several scan directions in one call: which tensors each has for itself, and how a call is cut and put together.

A call has directions when its order is (K, rows, steps); a tensor with K in front of its usual dimensions is each
direction's own, any other is shared. A backend that takes all directions in one launch says so by `together(inputs)`;
for the others the operator runs one after the other, with the functions below.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor


def count(order: Tensor | None) -> int:
    """K, or 0 for a call without directions."""
    return len(order) if order is not None and order.ndim == 3 else 0


def apart(backend: ModuleType, inputs: Any) -> bool:
    """Whether the directions of a call must run one after the other."""
    together = getattr(backend, "together", None)
    return count(inputs.order) > 0 and not (together and together(inputs))


def each(inputs: Any, ndim: dict[str, int]) -> list[Any]:
    """The inputs of every direction, as views."""
    def of(k: int) -> dict[str, Tensor]:
        given = {name: getattr(inputs, name) for name in ndim}
        return {name: t[k] for name, t in given.items() if t is not None and t.ndim > ndim[name]}

    return [inputs._replace(order=inputs.order[k], **of(k)) for k in range(count(inputs.order))]


def own(inputs: Any, ndim: dict[str, int]) -> list[bool]:
    """Which tensors each direction has for itself."""
    given = ((getattr(inputs, name), n) for name, n in ndim.items())
    return [t is not None and t.ndim > n for t, n in given]


def add(parts: Any) -> Tensor:
    """The sum over directions, of a tensor or of a list; of two in one kernel that reads each once."""
    if len(parts) <= 2:
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]
    return parts.sum(0) if isinstance(parts, Tensor) else torch.stack(list(parts)).sum(0)


def gather(
    gradients: Sequence[Sequence[Tensor | None]], inputs: Any, ndim: dict[str, int]
) -> tuple[Any, ...]:
    """Gradients of all directions' inputs from those of each: own ones stacked, shared ones added."""
    found: list[Any] = list(zip(*gradients))
    return tuple(
        None if getattr(inputs, name) is None else torch.stack(of) if separate else add(of)
        for name, separate, of in zip(ndim, own(inputs, ndim), found)
    )
