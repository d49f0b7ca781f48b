"""Cut and draw the failures on the page of limits: `python tools/limits_pictures.py RUN`, a run of the quickstart.

Writes docs/results/limits/*.png and limits.json, which says what they are. The crops were chosen by eye, for being bad,
from docs/emoji64.png (emoji64, 7,744 updates); the enlargements are the first six samples of a seed, not chosen.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import zoo

ROOT = Path(__file__).parents[1]
SHEET, OUT = ROOT / "docs/emoji64.png", ROOT / "docs/results/limits"
PICTURE, STEP = 64, 66  # pixels of a picture on the sheet, and from one to the next
CROPS = {  # (row, column) on the sheet
    "mud": [(3, 1), (3, 3), (7, 9), (10, 2)],
    "fused": [(9, 11), (8, 5), (7, 7), (4, 11)],
    "faces": [(0, 9), (9, 9), (3, 9), (9, 10)],
    "signs": [(0, 7), (4, 4), (10, 4), (1, 5)],
}
GUIDED = ["guidance.use=upsample", "guidance.base.scale=1.5"]
SIZES = {"1x": (1, []), "2x": (2, []), "2x_guided": (2, [*GUIDED, "guidance.factor=2"]),
         "3x": (3, []), "3x_guided": (3, [*GUIDED, "guidance.factor=3"])}  # fmt: skip
COUNT, SEED = 6, 1


def crop(sheet: Image.Image, places: Sequence[tuple[int, int]]) -> Image.Image:
    """Pictures of a contact sheet side by side."""
    boxes = [(c * STEP, r * STEP, c * STEP + PICTURE, r * STEP + PICTURE) for r, c in places]
    return row([np.asarray(sheet.crop(box).convert("RGB")) for box in boxes])


def row(images: Sequence[np.ndarray]) -> Image.Image:
    """Arrays (H,W,3) side by side, with a white gap of a sixteenth of their width."""
    height, width = images[0].shape[:2]
    step = width + width // 16
    strip = Image.new("RGB", (len(images) * step - width // 16, height), "white")
    for i, image in enumerate(images):
        strip.paste(Image.fromarray(image), (i * step, 0))
    return strip


def main(argv: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description="Cut and draw the failures that the page of limits shows.")
    p.add_argument("run", type=Path, help="a run of recipes/quickstart.yaml")
    p.add_argument("--out", type=Path, default=OUT, metavar="DIR")
    args = p.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    with Image.open(SHEET) as sheet:
        for name, places in CROPS.items():
            crop(sheet, places).save(args.out / f"{name}.png", optimize=True)
    backbone = zoo.from_pretrained(args.run)
    recipe, height = backbone.recipe, backbone.recipe["shape"][1]
    for name, (times, overrides) in SIZES.items():
        images = zoo.sample(args.run, n=COUNT, seed=SEED, size=(times * height,) * 2, overrides=overrides, batch=COUNT)
        row(images).save(args.out / f"{name}.png", optimize=True)
    sizes = {name: {"times": times, "overrides": given} for name, (times, given) in SIZES.items()}
    drawn = {"title": recipe["title"], "hash": recipe.hash, "step": backbone.card.get("step"), "seed": SEED}
    told = {"crops": {"sheet": SHEET.name, "recipe": "emoji64", "places": CROPS}, "enlarged": {**drawn, "sizes": sizes}}
    (args.out / "limits.json").write_text(json.dumps(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
