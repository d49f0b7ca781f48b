"""The metrics of one evaluation: which statistics they read together, and figures under honest names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from zoo.builder import factory
from zoo.errors import ZooError
from zoo.eval.lens import Lens, Wanted, resolved
from zoo.eval.protocols import Metric
from zoo.eval.tally import Needs, Tally

WELL_KNOWN = {"fid": "fd", "sfid": "sfd", "kid": "kd"}
"""Names that belong to Inception's features -> the metric."""
ELSEWHERE = {"fvd": "clip_fd"}
"""Names that belong to networks that are not here -> what there is instead."""


@dataclass(frozen=True)
class Figures:
    """Opened metrics, by name."""

    metrics: dict[str, Metric]
    fields: dict[str, Mapping[str, Any]]
    lens: Lens

    @property
    def needs(self) -> Needs:
        """What must be kept of the images."""
        kept = self.metrics.values()
        return Needs(frozenset(s for m in kept for s in m.moments), frozenset(s for m in kept for s in m.rows))

    @property
    def reference_needs(self) -> Needs:
        """What must be known of the reference; nothing for metrics that need none."""
        return Figures({n: m for n, m in self.metrics.items() if m.compares}, self.fields, self.lens).needs

    @property
    def compare(self) -> bool:
        """Whether any of them needs a reference."""
        return any(metric.compares for metric in self.metrics.values())

    def compute(self, images: Tally, reference: Tally | None) -> dict[str, float]:
        """Every figure, by the name that says which extractor it is of."""
        exact = self.lens.device if self.lens.device.type != "mps" else torch.device("cpu")  # mps has no float64
        found = {}
        for metric in self.metrics.values():
            values = metric(images, reference, exact)
            found |= {self.lens.called(name, metric.figures[name]): value for name, value in values.items()}
        return found


def open_metrics(wanted: Sequence[Wanted], lens: Lens) -> Figures:
    """The metrics that were asked for, checked against what the extractor gives.

    Raises: ZooError for an unknown metric, one that the extractor cannot serve, or FID without Inception.
    """
    metrics: dict[str, Metric] = {}
    fields: dict[str, Mapping[str, Any]] = {}
    for want in [wanted] if isinstance(wanted, str) else wanted:
        node = resolved("metric", _plain(want, lens))
        name = node.pop("use")
        metric: Metric = factory("metric", {"use": name, **node})()
        lens.check({*metric.moments, *metric.rows}, f"metric {name}")
        metrics[name], fields[name] = metric, node
    if not metrics:
        raise ZooError("no metric is named", where="evaluation", fix="name for instance fd")
    return Figures(metrics, fields, lens)


def _plain(want: Wanted, lens: Lens) -> Wanted:
    if isinstance(want, str) and want.lower() in ELSEWHERE:
        raise ZooError(f"{want.upper()} is of features of another network, which is not here", where="metrics",
                       fix=f"ask for {ELSEWHERE[want.lower()]}, another figure under a name of its own")
    if not isinstance(want, str) or want.lower() not in WELL_KNOWN:
        return want
    name = WELL_KNOWN[want.lower()]
    if not lens.standard:
        raise ZooError(f"{want.upper()} is the name for the published Inception network, this is {lens.name}",
                       where="metrics", fix=f"ask for {name}, or take extractor inception")
    return name
