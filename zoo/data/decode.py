"""Bytes of an image file -> uint8 RGB of a given size. The one place where images are decoded.

Orientation is applied, transparency lies on white, an animation gives its first frame, and 16 bits
are brought to 8 by scale. What the file is called does not matter.
"""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from zoo.data.protocols import Fit
from zoo.errors import DataError

PIXEL_LIMIT = 178_956_970
"""Largest image, in pixels, before or while it is fitted: twice Pillow's own warning level."""
ORIENTATION = 0x0112
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")


def decode(source: bytes | Path | np.ndarray, size: tuple[int, int] | None = None, fit: Fit = "crop") -> np.ndarray:
    """One image, (H,W,3) uint8.

    Args:
        source: a file's bytes or path, or (H,W,3) uint8 pixels that only need to be fitted.
        size: (height, width) of the result; None leaves it as it is.
        fit: "crop" keeps the middle, "resize" distorts, "pad" puts white around.

    Raises: DataError for whatever cannot be read as an image, without saying which file it was.
    """
    try:
        image = Image.fromarray(source) if isinstance(source, np.ndarray) else _open(source)
        return np.array(fitted(image, size, fit) if size else image)
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its text is an address in memory
        raise DataError("not a readable image: of no known format") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise DataError(f"not a readable image ({type(error).__name__}: {error})") from error


def fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    """The image at exactly (height, width), by box-halving and then bicubic.

    Source: centre_crop_arr of guided-diffusion (Dhariwal & Nichol 2021, 2105.05233), for oblong sizes as well.
    """
    height, width = size
    if fit == "resize":
        return _resampled(image, (width, height))
    ratios = width / image.width, height / image.height
    scale = max(ratios) if fit == "crop" else min(ratios)
    shape = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if shape[0] * shape[1] > PIXEL_LIMIT:
        raise DataError(f"{image.width} x {image.height} is too thin to be cropped to {width} x {height}")
    image = _resampled(image, shape)
    if shape == (width, height):
        return image
    left, top = (shape[0] - width) // 2, (shape[1] - height) // 2
    if fit == "crop":
        return image.crop((left, top, left + width, top + height))
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(image, (-left, -top))
    return sheet


def _resampled(image: Image.Image, shape: tuple[int, int]) -> Image.Image:
    """(width, height) by halving while it stays at least as large, then bicubic."""
    while image.width >= 2 * shape[0] and image.height >= 2 * shape[1]:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    return image if image.size == shape else image.resize(shape, Image.Resampling.BICUBIC)


def _open(source: bytes | Path) -> Image.Image:
    data = source if isinstance(source, bytes) else source.read_bytes()
    if not data:
        raise DataError("the file is empty")
    with Image.open(io.BytesIO(data), formats=_formats()) as image:
        if image.width * image.height > PIXEL_LIMIT:
            raise DataError(f"{image.width} x {image.height} pixels", allowed=f"at most {PIXEL_LIMIT:,} in all")
        image.load()
        return _rgb(_upright(image))


@cache
def _formats() -> list[str]:
    """Those of FORMATS that this Pillow has; readers that run other programs are never asked."""
    Image.init()
    return [f for f in FORMATS if f in Image.OPEN]


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if image.getexif().get(ORIENTATION, 1) != 1 else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    sheet = Image.new("RGBA", image.size, "white")
    sheet.alpha_composite(image.convert("RGBA"))
    return sheet.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey levels 0..65535 -> 0..255."""
    grey = np.asarray(image)
    if grey.dtype.kind == "f" or grey.min() < 0 or grey.max() > 65535:
        raise DataError(f"grey levels of mode {image.mode} have no known range", allowed="8 or 16 bits a channel")
    return Image.fromarray(np.round(grey / 257).astype(np.uint8))
