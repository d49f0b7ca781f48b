"""Every kind of image becomes upright 8-bit RGB on white, or a DataError; never something made up."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from made_images import encoded, pixels, png
from PIL import Image

from zoo.data.decode import decode
from zoo.errors import DataError

RED = (255, 0, 0)


def bomb() -> bytes:
    """A PNG of 50,000 x 50,000 pixels in a few bytes."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("data", [b"", b"not an image", png()[:90], encoded(Image.new("RGB", (64, 64)), "JPEG")[:400],
                                  bomb(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
                         ids=["empty", "text", "cut png", "cut jpeg", "bomb", "postscript"])  # fmt: skip
def test_what_cannot_be_read_is_refused(data):
    with pytest.raises(DataError):
        decode(data, (8, 8))


@pytest.mark.parametrize("make", [Image.Image.copy, lambda i: i.convert("CMYK"), lambda i: i.convert("YCbCr")])
def test_colours_survive_other_colour_spaces(make):
    kind = "TIFF" if make is not Image.Image.copy else "PNG"
    assert abs(decode(encoded(make(Image.new("RGB", (9, 9), RED)), kind), (8, 8))[4, 4].astype(int) - RED).max() <= 2


def test_cmyk_jpeg_and_palette_keep_their_colour():
    cmyk = encoded(Image.new("RGB", (9, 9), RED).convert("CMYK"), "JPEG", quality=95)
    palette = encoded(Image.new("RGB", (9, 9), RED).convert("P", palette=Image.Palette.ADAPTIVE))
    for data in (cmyk, palette):
        assert abs(decode(data)[4, 4].astype(int) - RED).max() <= 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    grey = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    assert decode(encoded(Image.fromarray(grey), kind))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_floating_point_images_are_refused():
    with pytest.raises(DataError, match="no known range"):
        decode(encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_transparency_lies_on_white_whatever_the_hidden_colour():
    half = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    half.putpixel((1, 0), (255, 0, 0, 128))
    assert decode(encoded(half)).tolist() == [[[255, 255, 255], [255, 127, 127]]]
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    assert (decode(encoded(palette, "PNG", transparency=1)) == 255).all()
    assert (decode(encoded(Image.new("LA", (4, 4), (3, 0)))) == 255).all()


def test_an_animation_gives_its_first_frame():
    frames = [Image.new("RGB", (6, 6), c) for c in (RED, (0, 0, 255))]
    for kind in ("GIF", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        assert decode(data)[3, 3, 0] > 240 and decode(data)[3, 3, 2] < 20


def test_orientation_is_applied():
    image = Image.fromarray(pixels(1, 4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees, clockwise
    turned = decode(encoded(image, "PNG", exif=exif))
    assert np.array_equal(turned, np.rot90(pixels(1, 4, 6), -1))


def test_the_name_of_a_file_does_not_matter_but_a_folder_is_no_file(tmp_path):
    file = tmp_path / "wrong.gif"
    file.write_bytes(png(3))
    assert np.array_equal(decode(file), pixels(3))
    (tmp_path / "folder.png").mkdir()
    for missing in ("folder.png", "nothing.png"):
        with pytest.raises(DataError):
            decode(tmp_path / missing)


@pytest.mark.parametrize("shape", [(33, 80), (80, 33), (200, 200), (5, 7), (32, 48)])
@pytest.mark.parametrize("fit", ["crop", "resize", "pad"])
def test_any_image_fits_any_size(shape, fit):
    assert decode(png(0, *shape), (32, 48), fit).shape == (32, 48, 3)


def test_crop_keeps_the_middle_and_pad_adds_white():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    assert (decode(wide, (8, 8), "crop") == 200).all()
    padded = decode(wide, (24, 24), "pad")
    assert (padded[:8] == 255).all() and (padded[16:] == 255).all() and np.array_equal(padded[8:16], wide)


def test_crop_equals_the_published_centre_crop():
    """`center_crop_arr` of guided-diffusion, as it stands there."""
    image = Image.fromarray(pixels(5, 150, 201))
    size, shrunk = 32, image
    while min(*shrunk.size) >= 2 * size:
        shrunk = shrunk.resize(tuple(x // 2 for x in shrunk.size), resample=Image.Resampling.BOX)
    scale = size / min(*shrunk.size)
    whole = np.array(shrunk.resize(tuple(round(x * scale) for x in shrunk.size), resample=Image.Resampling.BICUBIC))
    top, left = (whole.shape[0] - size) // 2, (whole.shape[1] - size) // 2
    assert np.array_equal(decode(pixels(5, 150, 201), (size, size)), whole[top : top + size, left : left + size])


def test_a_thread_of_pixels_is_not_blown_up():
    with pytest.raises(DataError, match="too thin"):
        decode(png(0, 1, 60_000), (256, 256))


def test_bytes_that_were_changed_anywhere_never_escape_as_another_error():
    good, rng = bytearray(encoded(Image.fromarray(pixels(2)), "WEBP")), np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(good)
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        with suppress(DataError):
            assert decode(bytes(data), (8, 8)).shape == (8, 8, 3)


def test_the_source_may_be_an_open_buffers_bytes():
    assert np.array_equal(decode(io.BytesIO(png(7)).getvalue()), pixels(7))
