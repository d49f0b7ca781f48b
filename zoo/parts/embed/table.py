"""A learned row for each class."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ShapeError, at_least
from zoo.registry import register


@register("embed", "table")
class Table(nn.Module):
    """One learned row a class, and one more for the null class that guidance needs.

    label (B,) int64, 0..classes-1, null = classes -> (B,1,D).
    Errors: ShapeError if the null class is asked for and the table has none.
    """

    count = 1

    def __init__(
        self,
        width: int,
        *,
        classes: int,
        null: bool = True,  # a last row for "no class"
        reads: str = "label",  # the input that this table embeds
        std: float = 0.02,  # of the rows at the start
    ):
        super().__init__()
        at_least(1, classes, f"classes of {reads}")
        at_least(0, std, f"std of {reads}")
        self.classes, self.has_null, self.reads, self.std = classes, null, reads, std
        self.weight = nn.Parameter(torch.empty(classes + null, width))

    def forward(self, label: Tensor) -> Tensor:
        return F.embedding(label, self.weight)[:, None]

    def null(self, batch: int, device: torch.device) -> Tensor:
        """The null class, (B,) int64."""
        if not self.has_null:
            raise ShapeError(f"this model needs the input {self.reads!r}: its table has no null class",
                             fix=f"give y, 0..{self.classes - 1}, or set null: true in the recipe")
        return torch.full((batch,), self.classes, dtype=torch.int64, device=device)

    def adapt(self, name: str, saved: Tensor) -> Tensor | None:
        """The null class of another set of classes, which is saved last; its classes are others and start anew."""
        if saved.shape[1:] != self.weight.shape[1:] or not self.has_null:
            return None
        return torch.cat([self.weight[:-1], saved[-1:].to(self.weight)])

    def reset(self, depth: int) -> None:
        """Normal rows."""
        nn.init.normal_(self.weight, std=self.std)
