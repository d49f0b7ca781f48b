"""The emoji inside the package: all there, on white, and split so that no picture is on both sides."""

from __future__ import annotations

import hashlib
import pickle
import struct
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from zoo.data.archive import Archive
from zoo.data.decode import decode
from zoo.data.source import emoji
from zoo.data.source.emoji import ARCHIVE, CATEGORIES, STYLES, Emoji
from zoo.errors import DataError


@pytest.fixture(scope="module")
def rows():
    return emoji.index()


@pytest.fixture(scope="module")
def members():
    archive = Archive(ARCHIVE)
    return {name: archive.read(name) for name in archive.names}


def test_counts_size_and_licences(rows):
    styles = Counter(row["style"] for row in rows)
    assert styles == {"google": 1906, "twitter": 1906, "fluent": 1852} and ARCHIVE.stat().st_size < 8_000_000
    assert {row["category"] for row in rows} == set(CATEGORIES) and set(styles) == set(STYLES)
    for name in ("LICENSES.md", "LICENSE-APACHE-2.0.txt", "LICENSE-MIT.txt"):
        assert (ARCHIVE.parent / name).stat().st_size > 1000


def test_a_code_point_is_on_one_side_in_every_style(rows):
    sides = defaultdict(set)
    for row in rows:
        sides[row["unified"]].add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert 0.08 < np.mean([side == {"val"} for side in sides.values()]) < 0.13


def test_the_archive_is_plain_webp_files_end_to_end(rows, members):
    assert set(members) == {"index.json"} | {f"{style}.webps" for style in STYLES}
    ends = dict.fromkeys(STYLES, 0)
    for row in rows:
        start = ends[row["style"]]
        riff, size, webp = struct.unpack("<4sI4s", members[f"{row['style']}.webps"][start : start + 12])
        assert (riff, webp, size + 8, start) == (b"RIFF", b"WEBP", row["bytes"], row["start"]), row["name"]
        ends[row["style"]] += row["bytes"]
    assert ends == {style: len(members[f"{style}.webps"]) for style in STYLES}
    assert decode(members["google.webps"][: rows[0]["bytes"]]).shape == (64, 64, 3)


def test_no_training_picture_is_a_held_out_picture(rows, members):
    seen = {}
    for row in rows:
        data = members[f"{row['style']}.webps"][row["start"] : row["start"] + row["bytes"]]
        picture = hashlib.sha256(data).digest()
        assert seen.setdefault(picture, row["split"]) == row["split"], row["name"]


def test_every_picture_can_be_read_and_most_have_white_corners():
    for split in ("train", "val"):
        data = Emoji((32, 32), split, labels=["category", "style"])
        with ThreadPoolExecutor(2) as pool:
            samples = list(pool.map(data.__getitem__, range(0, len(data), 4)))
        corners = np.stack([s.image[0, 0] for s in samples])
        assert (corners > 245).all(1).mean() > 0.8
        assert all(s.image.shape == (32, 32, 3) and s.labels.keys() == {"category", "style"} for s in samples)


def test_colours_are_those_of_the_originals():
    data = Emoji((64, 64), "train", styles=["twitter"], names=["heart", "large_blue_circle", "flag-jp"])
    middle = {name.split("/")[1]: data[i].image[32, 32].astype(int) for i, name in enumerate(data.names)}
    expected = {"1f535.webp": (85, 172, 238), "2764-fe0f.webp": (221, 46, 68), "1f1ef-1f1f5.webp": (237, 27, 47)}
    assert {name for name, colour in expected.items() if abs(middle[name] - colour).max() <= 8} == set(expected)


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (24, 40), (128, 128), (1, 1)])
def test_any_size_is_served(size):
    assert Emoji(size, "val")[0].image.shape == (*size, 3)


def test_half_size_is_the_mean_of_four_pixels():
    large, small = Emoji((64, 64), "val")[9].image, Emoji((32, 32), "val")[9].image
    assert abs(large.reshape(32, 2, 32, 2, 3).mean((1, 3)) - small).max() <= 1


def test_filters_choose_and_number_as_the_recipe_says():
    fields = {"labels": ["category", "style"], "categories": ["flags", "smileys"], "styles": ["fluent"]}
    data = Emoji((32, 32), "train", **fields)
    assert data.classes == {"category": ["flags", "smileys"], "style": ["fluent"]} == Emoji.known_classes(fields)
    assert {data[i].labels["category"] for i in range(len(data))} == {0, 1} and len(data) > 300
    faces = Emoji((32, 32), "train", names=["face-*", "flag-de"])
    assert set(np.unique(faces.labels["category"])) == {CATEGORIES.index("smileys"), CATEGORIES.index("flags")}
    assert Emoji((32, 32), "val", labels=[])[0].labels == {}


MISTAKES = [({"categories": ["flag"]}, "flags"), ({"styles": ["gogle"]}, "google"),
            ({"labels": ["categories"]}, "category"), ({"names": ["nothing"]}, r"data\.names")]  # fmt: skip


@pytest.mark.parametrize("fields, hint", MISTAKES)
def test_mistakes_are_named(fields, hint):
    with pytest.raises(DataError, match=hint):
        Emoji((32, 32), "train", **fields)


def test_a_copy_in_another_process_reads_the_same():
    data = Emoji((32, 32), "val")
    copy = pickle.loads(pickle.dumps(data))
    assert np.array_equal(copy[3].image, data[3].image) and copy[3].name == data[3].name
    assert np.array_equal(data[-1].image, data[len(data) - 1].image)
    with pytest.raises(IndexError):
        data[len(data)]
