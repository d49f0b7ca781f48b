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


def strip(pictures: Sequence[Image.Image], captions: Sequence[str]) -> Image.Image:
    """Pictures from left to right with a caption above each: one model beside another, or one over time.

    Raises: ShapeError unless there is one caption a picture.
    """
    if not pictures or len(pictures) != len(captions):
        raise ShapeError(f"{len(pictures)} pictures and {len(captions)} captions", fix="give one caption a picture")
    font = ImageFont.load_default(CAPTION)
    widths = [max(p.width, int(np.ceil(font.getlength(c)))) for p, c in zip(pictures, captions)]
    top = CAPTION + MARGIN
    sheet = Image.new("RGB", (sum(widths) + MARGIN * (len(widths) - 1), top + max(p.height for p in pictures)), WHITE)
    pen, left = ImageDraw.Draw(sheet), 0
    for picture, caption, width in zip(pictures, captions, widths):
        pen.text((left, MARGIN // 4), caption, fill=BLACK, font=font)
        sheet.paste(picture, (left, top))
        left += width + MARGIN
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
