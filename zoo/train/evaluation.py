"""Figures on the way, by the recipe's `eval:`. Whoever computes them is a part; training only lends it the weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from zoo.builder import section
from zoo.errors import ZooError
from zoo.loggers.protocol import Record
from zoo.recipe import Recipe
from zoo.sampling.generate import plan
from zoo.train.settings import Train
from zoo.train.state import State


class Evaluation:
    """`evaluation(state, stop)`: figures of samples drawn with the averaged weights, also as a file in `folder`.

    Raises: ZooError at the start if extractor, reference or sampler are missing or do not fit.
    """

    def __init__(self, recipe: Recipe, settings: Train, state: State, folder: Path, say: Callable[[str], None]):
        self.recipe, self.settings, self.folder, self.say = recipe, settings, folder, say
        self.every = recipe.get("eval.every", 0)
        if not self.every:
            return
        sampler = recipe.get("eval.sampler", None)
        drawn = recipe.override({"sampler": sampler}) if sampler else recipe
        part = section(recipe, "eval")()
        drawing = plan(state.backbone, drawn, seed=part.seed)
        drawing.sampler.check(drawing.process, drawing.guidance)
        self.look = part.open(drawing)

    def due(self, state: State, start: int, last: bool) -> bool:
        """Whether a multiple of `every` images has just been passed, or this is the end."""
        if not self.every or state.step <= start:
            return False
        return last or state.images // self.every > (state.images - state.batch) // self.every

    def __call__(self, state: State, stop: object = False) -> Record:
        """The figures; nothing if asked to stop meanwhile, or if the samples are not finite.

        Of several processes with whole weights only the first one looks; the others wait for it at the next update.
        """
        if not (state.ranks.first or state.parallel.sharded):
            return {}
        out, run = self.folder / f"step-{state.step:08d}.json", str(self.folder.parent)
        model = {"source": run, "recipe": self.recipe.hash, "weights": "", "ema": bool(state.emas), "step": state.step}
        averaged = state.emas[0].applied() if state.emas else nullcontext()
        try:
            with averaged:
                return self.look(out, model, self.settings.precision, lambda: bool(stop))
        except ZooError as error:
            self.say(f"no evaluation at step {state.step}: {error}")
            return {}
