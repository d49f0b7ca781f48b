"""Time, labels and text become tokens in front of the patches and embeddings by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from zoo.errors import RecipeError, ShapeError
from zoo.parts.protocols import Condition, Embed, Labels
from zoo.registry import Make, register


@register("conditioning", "default")
class Conditioning(nn.Module):
    """Builds the embeddings that somebody reads, and hands them out as tokens and by name.

    Errors: RecipeError if a token or a reader names an embedding that is not in `embed`.
    """

    def __init__(
        self,
        width: int,
        readers: Iterable[str] = (),
        *,
        tokens: list[str] = [],  # embeddings that stand in front of the patches, in this order
        embed: dict[str, Make[Embed]] = {},  # name -> embedding part
    ):
        super().__init__()
        self.tokens, self.width = tuple(tokens), width
        for name in (wanted := dict.fromkeys((*tokens, *readers))):
            if name not in embed:
                raise RecipeError(f"nothing embeds {name!r}", where="backbone.conditioning.embed",
                                  allowed=sorted(embed), given=name)
        self.embed = nn.ModuleDict({name: make(width) for name, make in embed.items() if name in wanted})
        self.count = sum(self.embed[name].count for name in tokens)

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the inputs besides time, for instance ("label",)."""
        return tuple(dict.fromkeys(e.reads for e in self.embed.values() if e.reads != "t"))

    def forward(self, t: Tensor, y: Labels | None, dtype: torch.dtype) -> tuple[Tensor, Condition]:
        """t (B,), y None, (B,) or {name: value} -> prefix (B,P,D), embeddings by name."""
        values = {"t": t, **self.inputs(y, len(t), t.device)}
        cond = Condition({name: e(values[e.reads]).to(dtype) for name, e in self.embed.items()})
        prefix = cond.cat(self.tokens) if self.tokens else t.new_zeros(len(t), 0, self.width, dtype=dtype)
        return prefix, cond

    def inputs(self, y: Labels | None, batch: int, device: torch.device) -> dict[str, Tensor]:
        """Every input by name; those that `y` leaves out have their null value."""
        given = {} if y is None else dict(y) if isinstance(y, Mapping) else {self._only_label(): y}
        nulls = {e.reads: e for e in self.embed.values() if e.reads != "t"}
        return {name: given[name] if name in given else e.null(batch, device) for name, e in nulls.items()}

    def null(self, y: Labels) -> Tensor | dict[str, Tensor]:
        """The null value of every input that `y` gives, in its form."""
        if not isinstance(y, Mapping):
            return next(iter(self.inputs(None, len(y), y.device).values()))
        like = next(iter(y.values()))
        nulls = self.inputs(None, len(like), like.device)
        return {name: nulls[name] for name in y}

    def drop(self, y: Labels | None, mask: Tensor) -> dict[str, Tensor]:
        """`y` with null values where mask (B,) is true, for training classifier-free guidance."""
        values, nulls = (self.inputs(given, len(mask), mask.device) for given in (y, None))
        return {k: torch.where(mask.view(-1, *[1] * (v.ndim - 1)), nulls[k], v) for k, v in values.items()}

    def _only_label(self) -> str:
        if len(self.labels) > 1:
            raise ShapeError(f"this model has the inputs {', '.join(self.labels)}", fix="give y as {name: value}")
        return self.labels[0] if self.labels else "label"
