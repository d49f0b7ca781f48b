"""Images side by side: a grid, grids in a row with captions; and their files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from zoo.errors import ShapeError

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
CAPTION = 14
MARGIN = 8


def grid(images: Sequence[np.ndarray], columns: int | None = None, gap: int = 2) -> Image.Image:
    """Images (H,W,C) uint8 of one size, row by row on white, `gap` pixels apart.

    Args:
        columns: None makes the grid about square.

    Raises: ShapeError if there is no image, or sizes differ.
    """
    sizes = {image.shape[:2] for image in images}
    if len(sizes) != 1:
        found = ", ".join(f"{h}x{w}" for h, w in sorted(sizes)) or "none"
        raise ShapeError("a grid needs images of one size", allowed="one size", fix=f"sizes given: {found}")
    ((height, width),) = sizes
    columns = min(columns or int(np.ceil(np.sqrt(len(images)))), len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) - gap, rows * (height + gap) - gap), WHITE)
    for i, image in enumerate(images):
        sheet.paste(to_picture(image), (i % columns * (width + gap), i // columns * (height + gap)))
    return sheet


def strip(pictures: Sequence[Image.Image], captions: Sequence[str], *, down: bool = False) -> Image.Image:
    """Pictures from left to right with a caption above each: one model beside another, or one over time.

    Args:
        down: from top to bottom instead, for wide ones.

    Raises: ShapeError unless there is one caption a picture.
    """
    if not pictures or len(pictures) != len(captions):
        raise ShapeError(f"{len(pictures)} pictures and {len(captions)} captions", fix="give one caption a picture")
    font, top = ImageFont.load_default(CAPTION), CAPTION + MARGIN
    sizes = [(max(p.width, int(np.ceil(font.getlength(c)))), top + p.height) for p, c in zip(pictures, captions)]
    along, across = (1, 0) if down else (0, 1)
    whole = [0, 0]
    whole[along] = sum(size[along] for size in sizes) + MARGIN * (len(sizes) - 1)
    whole[across] = max(size[across] for size in sizes)
    sheet, place = Image.new("RGB", (whole[0], whole[1]), WHITE), [0, 0]
    pen = ImageDraw.Draw(sheet)
    for picture, caption, size in zip(pictures, captions, sizes):
        pen.text((place[0], place[1] + MARGIN // 4), caption, fill=BLACK, font=font)
        sheet.paste(picture, (place[0], place[1] + top))
        place[along] += size[along] + MARGIN
    return sheet


def single(folder: Path, index: int, ending: str = ".png") -> Path:
    """The file of one numbered image or video."""
    return folder / f"{index:06d}{ending}"


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a PNG that is never half there; returns its path."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        picture.save(aside, format="PNG")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return path


def to_picture(image: np.ndarray) -> Image.Image:
    """(H,W,1) or (H,W,3) uint8 as a picture."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
