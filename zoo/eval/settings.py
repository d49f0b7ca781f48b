"""What a recipe may say under `eval:`: figures of samples while it trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from zoo.errors import RecipeError
from zoo.registry import Make, register

if TYPE_CHECKING:
    from zoo.diffusion.protocols import Sampler
    from zoo.eval.during import Session
    from zoo.eval.protocols import Extractor, Metric
    from zoo.sampling.generate import Plan


@register("eval", "default")
class Evaluation:
    """Evaluation on the way: it looks at the averaged weights and changes nothing that is learned.

    `open(plan)` once, then a call a look; each result is a file in `eval/` of the run, its figures go to the logs.
    """

    def __init__(
        self,
        *,
        every: int = 500000,  # images seen between evaluations, one more at the end; 0: never
        count: int = 1000,  # images drawn
        metrics: list[Make[Metric]] = ["fd"],  # what is computed; of videos clip_fd
        extractor: Make[Extractor] = "efficientnet_lite0",  # whose features
        reference: str | None = None,  # an npz of statistics or a folder of pictures; null: the recipe's data
        split: Literal["train", "val"] = "train",  # of the recipe's data
        sampler: Make[Sampler] | None = None,  # null: the recipe's own
        seed: int = 0,  # of the samples
        batch: int = 64,  # images at a time
    ):
        for name, value, least in (("every", every, 0), ("count", count, 2), ("batch", batch, 1)):
            if value < least:
                raise RecipeError(f"{value} is too small", where=f"eval.{name}", allowed=f"{least} or more")
        self.every, self.count, self.reference, self.split = every, count, reference, split
        self.seed, self.batch = seed, batch

    def open(self, plan: Plan) -> Session:
        """Extractor, metrics and reference, for a plan that always draws with the weights as they are.

        Raises: ZooError if something is missing or does not fit.
        """
        from zoo.eval.during import Session  # torch, only when it is needed

        return Session(self, plan)
