"""Pictures have the geometry that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zoo.errors import ShapeError
from zoo.sampling.picture import grid, save_picture, single, strip, to_picture


def flat(value: int, height: int = 3, width: int = 5, channels: int = 3) -> np.ndarray:
    return np.full((height, width, channels), value, np.uint8)


def test_a_grid_places_each_image_and_leaves_white_between():
    sheet = np.asarray(grid([flat(10 * i) for i in range(5)], columns=3, gap=2))
    assert sheet.shape == (3 * 2 + 2, 5 * 3 + 2 * 2, 3)
    for i in range(5):
        top, left = i // 3 * 5, i % 3 * 7
        assert (sheet[top : top + 3, left : left + 5] == 10 * i).all()
    assert (sheet[3:5] == 255).all() and (sheet[:, 5:7] == 255).all() and (sheet[5:, 14:] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3), (9, 3), (64, 8)])
def test_a_grid_is_about_square(count, columns):
    assert grid([flat(0, 4, 4)] * count, gap=0).width == 4 * columns


def test_grey_images_and_few_images_are_fine():
    assert grid([flat(7, channels=1)], columns=8).size == (5, 3)


@pytest.mark.parametrize("images", [[], [flat(0), flat(0, 4, 4)]])
def test_images_without_one_size_are_refused(images):
    with pytest.raises(ShapeError, match="one size"):
        grid(images)


def test_a_strip_holds_its_pictures_untouched_with_room_for_captions():
    pictures = [grid([flat(40, 20, 30)]), grid([flat(90, 10, 60)])]
    sheet = np.asarray(strip(pictures, ["step 1000", "2"]))
    left = max(30, next(x for x in range(sheet.shape[1]) if (sheet[-20:-10, x] == 90).all()))
    assert (sheet[-20:, :30] == 40).all() and (sheet[-20:-10, left : left + 60] == 90).all()
    assert (sheet[: -20] < 128).any(), "captions are drawn"
    with pytest.raises(ShapeError, match="one caption"):
        strip(pictures, ["one"])


def test_singles_read_back_equal_and_nothing_else_is_left(tmp_path):
    rng = np.random.default_rng(0)
    images = {3: rng.integers(0, 256, (4, 6, 3), np.uint8), 1234567: rng.integers(0, 256, (4, 6, 1), np.uint8)}
    paths = [save_picture(to_picture(image), single(tmp_path, i)) for i, image in images.items()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000003.png", "1234567.png"]
    for path, image in zip(paths, images.values()):
        assert np.array_equal(np.asarray(Image.open(path)).reshape(image.shape), image)
