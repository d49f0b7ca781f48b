"""Whether two figures may be compared: every field of their protocols, what it means that one differs.

A field is the yardstick (another one, and the figures say nothing about each other), the subject (what the two figures
are there to tell apart) or chance (both are samples of the same number).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zoo.eval.result import Result

Kind = Literal["yardstick", "subject", "chance"]
FIELDS: dict[str, tuple[Kind, str]] = {
    "count": ("yardstick", "Frechet distances fall as the count grows"),
    "images.size": ("yardstick", "at another size other details count"),
    "images.resize": ("yardstick", "resizing leaves traces that features see"),
    "images.rounding": ("yardstick", "rounding and compression leave traces that features see"),
    "images.kind": ("chance", "drawn or read, the pixels are what they are"),
    "images.split": ("subject", "other real images"),
    "images": ("chance", "other images of the same kind"),
    "extractor.name": ("yardstick", "other features, another metric"),
    "extractor": ("yardstick", "other weights or resizing of the extractor, another metric"),
    "reference.hash": ("yardstick", "the reference holds other images"),
    "reference.count": ("yardstick", "the distance depends on the size of the reference"),
    "reference.split": ("yardstick", "one may have been trained on, the other not"),
    "reference": ("chance", "how its pixels came to be; the hash says whether they are the same"),
    "metrics": ("yardstick", "the metric is computed with other settings"),
    "labels": ("yardstick", "another mixture of classes"),
    "model.ema": ("subject", "averaged against plain weights"),
    "model.recipe": ("subject", "another recipe"),
    "model.weights": ("subject", "other weights"),
    "model.step": ("subject", "another step of training"),
    "model.source": ("chance", "a name"),
    "sampler": ("subject", "another sampler, or other settings of it"),
    "guidance": ("subject", "guidance trades diversity for fidelity"),
    "autoencoder": ("subject", "another decoder"),
    "dtype": ("subject", "the network computed in another number format"),
    "seed": ("chance", "other noise: the difference that chance makes"),
    "batch": ("chance", "rounding alone"),
    "device": ("chance", "rounding alone"),
    "versions": ("chance", "other versions, perhaps other rounding or resizing"),
}
"""Dotted key, or what it begins with -> kind, and why it matters."""


@dataclass(frozen=True)
class Difference:
    """One field of the protocol in which two results differ."""

    field: str
    ours: Any
    theirs: Any
    kind: Kind
    why: str


@dataclass(frozen=True)
class Comparison:
    """figures: name -> both values, of those that both have; differences by weight; reasons against comparing."""

    figures: dict[str, tuple[float, float]]
    differences: list[Difference]
    reasons: list[str]

    @property
    def comparable(self) -> bool:
        """Whether the difference of the figures means something."""
        return not self.reasons

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.reasons:
            return f"not comparable: {'; '.join(self.reasons)}"
        subject = [d.field for d in self.differences if d.kind == "subject"]
        if subject:
            return f"comparable: the same yardstick; they differ in {', '.join(subject)}"
        chance = ", ".join(d.field for d in self.differences if d.kind == "chance")
        return f"comparable: the same thing measured twice{chance and f', apart from {chance}'}"


def compare(ours: Result, theirs: Result) -> Comparison:
    """Field by field, why two results are or are not comparable."""
    found = sorted(differences(ours.protocol, theirs.protocol), key=lambda d: ("yardstick", "subject").index(d.kind)
                   if d.kind != "chance" else 2)  # fmt: skip
    common = {name: (value, theirs.metrics[name]) for name, value in ours.metrics.items() if name in theirs.metrics}
    reasons = [f"{d.field} is {_short(d.ours)} and {_short(d.theirs)}, {d.why}" for d in found if d.kind == "yardstick"]
    if not common:
        names = " and ".join(", ".join(result.metrics) or "nothing" for result in (ours, theirs))
        reasons.insert(0, f"they have no figure in common: {names}")
    return Comparison(common, found, reasons)


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Difference]:
    """Every leaf that differs, with what it means."""
    here, there = dict(leaves(ours)), dict(leaves(theirs))
    shared = {f"metrics.{name}" for name in {*ours.get("metrics", {})} & {*theirs.get("metrics", {})}}
    for field in {**here, **there}:
        other_metric = field.startswith("metrics.") and ".".join(field.split(".")[:2]) not in shared
        if here.get(field) != there.get(field) and not other_metric:
            yield Difference(field, here.get(field), there.get(field), *meaning(field))


def meaning(field: str) -> tuple[Kind, str]:
    """Kind and reason of a dotted field; one that nobody thought of counts as the yardstick."""
    steps = field.split(".")
    for end in range(len(steps), 0, -1):
        if known := FIELDS.get(".".join(steps[:end])):
            return known
    return "yardstick", "a field that this version does not know"


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a nested mapping."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
