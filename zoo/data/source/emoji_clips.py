"""Emoji that move: clips rendered in memory from the set inside the package."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from zoo.data.clips import Clips
from zoo.data.order import rng
from zoo.data.pictures import chosen
from zoo.data.protocols import Split
from zoo.data.source.emoji import Emoji
from zoo.errors import DataError, RecipeError, at_least
from zoo.registry import register

Pose = tuple[float, float, float]
"""Right and down from the middle, each -1..1 of the way to the edge; turned clockwise, in turns."""
HOPS = 2


def hand(turned: float, orbit: float) -> Pose:
    """As the hand of a clock: on a circle around the middle, from its top, turned as far as it has gone."""
    return orbit * math.sin(2 * math.pi * turned), -orbit * math.cos(2 * math.pi * turned), turned


PATHS: dict[str, Callable[[float, float, float], Pose]] = {
    "left": lambda t, across, orbit: (1 - 2 * t, across, 0.0),
    "right": lambda t, across, orbit: (2 * t - 1, across, 0.0),
    "up": lambda t, across, orbit: (across, 1 - 2 * t, 0.0),
    "down": lambda t, across, orbit: (across, 2 * t - 1, 0.0),
    "clockwise": lambda t, across, orbit: hand(t, orbit),
    "counterclockwise": lambda t, across, orbit: hand(-t, orbit),
    "bounce": lambda t, across, orbit: (across, 1 - 2 * abs(math.sin(math.pi * HOPS * t)), 0.0),
}
"""Motion -> pose at time t in 0..1; `across` is a clip's own, by chance, `orbit` as below."""
MOTIONS = list(PATHS)


@register("dataset", "emoji_clips")
class EmojiClips(Clips):
    """Every emoji in every motion, rendered when asked for: along a line, one turn in place or around, two hops.

    Clips (T,H,W,3) on white. The emoji of the held-out split are those of `emoji`. Labels: motion, and those of
    `emoji`. Where an emoji moves is a function of its number and the seed.

    Raises: DataError for an unknown label, motion, category or style, or if no emoji is left.
    Source: as `emoji`.
    """

    def __init__(
        self,
        size: tuple[int, int, int],
        split: Split,
        *,
        labels: list[str] = ["motion"],  # what the model is told: motion, category, style or []
        motions: list[str] | None = None,  # of left right up down clockwise counterclockwise bounce
        categories: list[str] | None = None,  # see emoji
        styles: list[str] | None = None,  # see emoji
        names: list[str] | None = None,  # patterns of short names or groups, see emoji
        sprite: float = 0.5,  # side of an emoji, in shorter sides of the frame
        travel: float = 1.0,  # how far it goes, in ways from edge to edge
        spread: float = 0.5,  # how far from the middle its line may lie, in ways from middle to edge
        orbit: float = 0.0,  # how far from the middle it turns around it, in ways from middle to edge; 0: in place
        seed: int = 0,  # of where it moves
    ):
        if not 0 <= orbit <= 1:
            raise RecipeError(f"{orbit}", where="data.orbit", allowed="0 to 1")
        for name, value in (("sprite", sprite), ("travel", travel)):
            if not 0 < value <= 1:
                raise RecipeError(f"{value}", where=f"data.{name}", allowed="above 0, up to 1")
        at_least(0, seed, "data.seed")
        fields = {"motions": motions, "categories": categories, "styles": styles}
        offered = self.known_classes({"labels": ["motion", "category", "style"], **fields})
        classes = chosen(labels, offered, "data.labels")
        self._check_size(size)
        self.side = max(1, round(sprite * min(size[1:])))
        self.emoji = Emoji((self.side, self.side), split, labels=[name for name in labels if name != "motion"],
                           categories=categories, styles=styles, names=names)  # fmt: skip
        self.motions, self.travel, self.spread, self.seed = offered["motion"], travel, spread, seed
        self.orbit = orbit
        count = len(self.emoji)
        numbers = {name: np.tile(values, len(self.motions)) for name, values in self.emoji.labels.items()}
        if "motion" in classes:
            numbers["motion"] = np.repeat(np.arange(len(self.motions)), count)
        titles = [f"{name} {motion}" for motion in self.motions for name in self.emoji.names]
        super().__init__(titles, self.frames, {name: numbers[name] for name in classes}, classes, size=size)

    @staticmethod
    def known_classes(fields: Mapping[str, object]) -> dict[str, list[str]]:
        """The classes under these fields, without opening a file."""
        motions = list(dict.fromkeys(fields.get("motions") or MOTIONS))  # type: ignore[call-overload]
        for name in motions:
            if name not in MOTIONS:
                raise DataError(f"there is no motion {name!r}", where="data.motions", allowed=MOTIONS, given=name)
        offered = {"motion": motions, **Emoji.known_classes({**fields, "labels": ["category", "style"]})}
        return chosen(fields.get("labels", ["motion"]), offered, "data.labels")  # type: ignore[arg-type]

    def frames(self, index: int) -> list[np.ndarray]:
        """The frames of a clip, each (H,W,3) uint8; all emoji in one motion come before the next motion."""
        motion, emoji = divmod(int(index), len(self.emoji))
        sprite = Image.fromarray(self.emoji[emoji].image)
        across = self.spread * (2 * rng(self.seed, f"emoji_clips {self.motions[motion]}", emoji).random() - 1)
        count, height, width = self.size  # type: ignore[misc]
        path = PATHS[self.motions[motion]]
        poses = [path(k / max(count - 1, 1), across, self.orbit) for k in range(count)]
        return [place(sprite, (height, width), (x * self.travel, y * self.travel, turned)) for x, y, turned in poses]


def place(sprite: Image.Image, size: tuple[int, int], pose: Pose) -> np.ndarray:
    """A sprite at a pose on white, (H,W,3) uint8, between pixels by cubic interpolation."""
    (height, width), side = size, sprite.width
    x, y, turned = pose
    middle = ((width + x * (width - side)) / 2, (height + y * (height - side)) / 2)
    cos, sin = math.cos(2 * math.pi * turned), math.sin(2 * math.pi * turned)
    right = side / 2 - cos * middle[0] - sin * middle[1]  # where the frame's corner lies on the sprite
    down = side / 2 + sin * middle[0] - cos * middle[1]
    moved = sprite.transform((width, height), Image.Transform.AFFINE, (cos, sin, right, -sin, cos, down),
                             Image.Resampling.BICUBIC, fillcolor="white")  # fmt: skip
    return np.asarray(moved)
