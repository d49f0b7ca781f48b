"""Evaluation while a model trains: extractor and reference are opened once, each look draws anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.eval.api import drawn_by, report
from zoo.eval.collect import Watch, collect, default_cache
from zoo.eval.figures import open_metrics
from zoo.eval.lens import Lens
from zoo.eval.reference import find_reference
from zoo.sampling.generate import Plan

if TYPE_CHECKING:
    from zoo.eval.settings import Evaluation


class Session:
    """`session(out, model, precision, stopped)`: the figures of images drawn now.

    Raises: ZooError if extractor or reference are missing or do not fit.
    """

    def __init__(self, settings: Evaluation, plan: Plan):
        self.settings, self.plan, node = settings, plan, plan.recipe["eval"]
        self.lens = Lens(node["extractor"], plan.device)
        self.figures = open_metrics(node["metrics"], self.lens)
        self.reference = None
        if self.figures.compare:
            source = settings.reference or plan.recipe
            self.reference = find_reference(source, settings.split, plan.size, self.lens, self.figures.reference_needs,
                                            batch=settings.batch, cache=default_cache())  # fmt: skip

    def __call__(self, out: Path, model: dict[str, Any], precision: str,
                 stopped: Callable[[], bool] = lambda: False) -> dict[str, float]:  # fmt: skip
        """Draw, measure, write the result; nothing if asked to stop meanwhile.

        Args:
            out: the file of the result.
            model: what the protocol says about the weights.
            precision: of the network's matrix products.
        """
        count, batch = self.settings.count, self.settings.batch
        images = drawn_by(self.plan, count, precision, model)
        tally = collect(images, self.lens, self.figures.needs, batch=batch, watch=Watch(stopped=stopped))
        if len(tally) < count:
            return {}
        result = report(self.figures, images, tally, self.reference, batch)
        result.save(out)
        return result.metrics
