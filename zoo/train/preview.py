"""Samples on the way: the same noise and classes every time, drawn with the averaged weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.builder import factory
from zoo.errors import ZooError
from zoo.recipe import Recipe
from zoo.sampling.generate import Plan, plan
from zoo.sampling.motion import clip_grid, save_clip
from zoo.sampling.picture import grid, save_picture, strip
from zoo.train.settings import Train
from zoo.train.state import State

GAP, MOST, LEGIBLE = 2, 12, 64


class Preview:
    """`preview(state, stop)` writes `samples/step-00012000.png`, and `samples/strip.png` over time.

    Of videos the pictures show the frame in the middle, and a GIF of the same name the whole.
    All processes draw the same images, in step, because their weights may be spread; the first one writes.

    Raises: ZooError at the start if the sampler fits neither process nor guidance.
    """

    def __init__(self, recipe: Recipe, settings: Train, state: State, folder: Path, say: Callable[[str], None]):
        self.folder, self.say, self.settings = folder, say, settings
        if settings.preview_every:
            drawing = plan(state.backbone, recipe, seed=settings.seed, precision=settings.precision)
            self.plan = replace(drawing, sampler=_sampler(settings, drawing))
            self.plan.sampler.check(self.plan.process, self.plan.guidance)

    def __call__(self, state: State, stop: object = False) -> Path | None:
        """The new grid; None if asked to stop meanwhile or if the samples are not finite."""
        images, path = [], self.folder / f"step-{state.step:08d}.png"
        averaged = state.emas[0].applied() if state.emas else nullcontext()
        try:
            with averaged:
                for _, image in self.plan.draw(range(self.settings.preview_count), batch=max(state.micro, 1)):
                    if stop:
                        return None
                    images.append(image)
        except ZooError as error:
            self.say(f"no preview at step {state.step}: {error}")
            return None
        if state.ranks.first:
            self.write(images, path)
            self.draw_strip(state.step)
        return path

    def write(self, images: list[np.ndarray], path: Path) -> None:
        """Images (H,W,C), or videos (T,H,W,C), side by side."""
        if self.plan.frames:
            save_clip(clip_grid(images), path.with_suffix(".gif"))
            images = [clip[len(clip) // 2] for clip in images]
        save_picture(grid(images, gap=GAP), path)

    def draw_strip(self, step: int) -> None:
        """The first column of at most a dozen grids up to `step`, from left to right."""
        grids = [p for p in sorted(self.folder.glob("step-*.png")) if int(p.stem[5:]) <= step]
        if len(grids) > MOST:
            grids = [grids[round(i * (len(grids) - 1) / (MOST - 1))] for i in range(MOST)]
        columns = [_first_column(p, self.settings.preview_count) for p in grids]
        save_picture(strip(columns, [f"{int(p.stem[5:]):,}" for p in grids]), self.folder / "strip.png")


def _sampler(settings: Train, drawing: Plan):
    """The recipe's choice for previews; by default one that needs few calls, if the process allows it."""
    if settings.preview_sampler:
        return settings.preview_sampler()
    quick = factory("sampler", {"use": "dpm_solver"})()
    try:
        quick.check(drawing.process, drawing.guidance)
    except ZooError:
        return drawing.sampler
    return quick


def _first_column(path: Path, count: int) -> Image.Image:
    """The first images of the rows of a grid of `count` images that is about square."""
    columns = min(next(n for n in range(1, count + 1) if n * n >= count), count)
    with Image.open(path) as sheet:
        width = (sheet.width + GAP) // columns - GAP
        column, larger = sheet.convert("RGB").crop((0, 0, width, sheet.height)), max(1, LEGIBLE // width)
        return column.resize((column.width * larger, column.height * larger), Image.Resampling.NEAREST)
