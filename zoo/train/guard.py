"""What to do about numbers that are not finite, and where they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.train.state import State


class NonFiniteError(ZooError):
    """A loss or a gradient is not a number; the weights are as the update before it left them."""


class Guard:
    """Keeps a bad update out of the weights, on the device, and tells the host when it next looks.

    `raise` and `rollback`: from the first bad update on, nothing is changed any more, and `check` raises, or has the
    last checkpoint's weights fetched. `skip`: bad updates are left out and counted. An overflow of scaled float16
    gradients is neither: it is skipped, and the scale falls; it is bad only once the scale has fallen to 1.
    """

    def __init__(self, policy: str, device: torch.device):
        self.policy = policy
        self.first_bad = torch.full((), -1, dtype=torch.int64, device=device)

    def judge(self, state: State, loss: Tensor, norm: Tensor) -> Tensor:
        """Whether this update must be left out, a bool tensor ()."""
        overflow = ~torch.isfinite(norm)
        bad = ~torch.isfinite(loss) | (overflow & (state.scale.value <= 1))
        state.scale.update(overflow)
        if self.policy == "skip":
            return overflow | bad
        fresh = bad & (self.first_bad < 0)
        self.first_bad = torch.where(fresh, state.step, self.first_bad)
        return overflow | (self.first_bad >= 0)

    def check(self, explain: Callable[[int], str], roll_back: Callable[[str], bool] = lambda reason: False) -> None:
        """Act if an update was bad; `explain(step)` finds out where.

        Args:
            roll_back: brings back what was saved last, under `rollback`; False if there is nothing new to bring.

        Raises: NonFiniteError.
        """
        step = self.first_bad.item()
        if step < 0:
            return
        reason = explain(step)
        if self.policy == "rollback" and roll_back(f"update {step}: {reason}"):
            self.first_bad.fill_(-1)
            return
        raise NonFiniteError(
            reason, where=f"update {step}",
            fix="the weights are as the update before left them, and nothing was saved since; lower "
                "train.optimizer.lr, set train.clip=1, or train.nonfinite=skip",
        )  # fmt: skip


def diagnose(backbone: nn.Module, losses: Callable[[], Tensor], first: int) -> str:
    """Compute losses once more and name what is not finite: weights, layer, gradient, images; or "".

    Args:
        losses: the loss of each image, (B,), with its graph.
        first: position of the first of these images.
    """
    for name, parameter in backbone.named_parameters():
        if not torch.isfinite(parameter).all():
            return f"the weights {name} are not finite already"
    with first_bad_output(backbone) as found:
        values = losses()
    bad_rows = (~torch.isfinite(values)).nonzero().flatten().tolist()
    if bad_rows:
        images = f"the loss is not finite for the images at positions {_listed(first, bad_rows)}"
        return f"{images}; the first bad output is that of {found[0]}" if found else f"{images}; all layers are finite"
    values.mean().backward()
    bad = [n for n, p in backbone.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
    backbone.zero_grad(set_to_none=True)
    images = f"for the images at positions {first} to {first + len(values) - 1}"
    return f"the gradient of {bad[-1]} is not finite {images} ({len(bad)} tensors in all)" if bad else ""


@contextmanager
def first_bad_output(backbone: nn.Module) -> Iterator[list[str]]:
    """A list that receives the names of modules with a non-finite output, innermost and first ones first."""
    found: list[str] = []

    def watch(name: str):
        def look(module, inputs, output):
            tensors = output if isinstance(output, tuple) else (output,)
            if any(isinstance(t, Tensor) and t.is_floating_point() and not torch.isfinite(t).all() for t in tensors):
                found.append(f"{name or 'the backbone'} ({type(module).__name__})")

        return look

    hooks = [module.register_forward_hook(watch(name)) for name, module in backbone.named_modules()]
    try:
        with torch.compiler.set_stance("force_eager"):
            yield found
    finally:
        for hook in hooks:
            hook.remove()


def _listed(first: int, rows: list[int], most: int = 8) -> str:
    shown = ", ".join(str(first + row) for row in rows[:most])
    return f"{shown} and {len(rows) - most} more" if len(rows) > most else shown
