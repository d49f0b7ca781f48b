"""Clips: emoji that move as their label says, folders of frames, GIFs and video files, in batches of (B,T,C,H,W)."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from zoo.data.clips import chosen_frames
from zoo.data.loader import batches, val_batches
from zoo.data.source.clips import VideoClips
from zoo.data.source.emoji import Emoji
from zoo.data.source.emoji_clips import MOTIONS, EmojiClips
from zoo.errors import DataError, RecipeError
from zoo.sampling.motion import save_clip

SIZE = (9, 24, 20)


def faces(split="val", **fields) -> EmojiClips:
    return EmojiClips(SIZE, split, names=["face-*"], styles=["twitter"], **fields)


def square(frame: np.ndarray) -> np.ndarray:
    """The middle of a frame, as high as wide."""
    margin = (SIZE[1] - SIZE[2]) // 2
    return frame[margin:-margin]


def centres(clip: np.ndarray) -> np.ndarray:
    """(T,2): row and column around which a frame is not white."""
    ink = 255.0 - clip.mean(-1)
    rows, columns = np.indices(ink.shape[1:])
    return np.stack([(ink * rows).sum((1, 2)), (ink * columns).sum((1, 2))], 1) / ink.sum((1, 2))[:, None]


@pytest.mark.parametrize("motion", MOTIONS)
def test_an_emoji_moves_as_its_label_says(motion):
    data = faces(motions=[motion])
    for i in range(len(data)):
        down, right = np.diff(centres(data[i].image), axis=0).T
        steady = {"left": -right, "right": right, "up": -down, "down": down}
        if motion in steady:
            across = right if motion in ("up", "down") else down
            assert steady[motion].min() > 0.8 and abs(across).max() < 0.2
        elif motion.endswith("clockwise"):
            assert abs(down).max() < 0.6 and abs(right).max() < 0.6
            quarters = data[i].image[::2].astype(int)
            once = -1 if motion == "clockwise" else 1
            for k, frame in enumerate(quarters):
                turned = np.rot90(square(quarters[0]), once * k)
                assert np.abs(turned - square(frame)).mean() < 2
        else:
            assert (np.sign(down) == [-1, -1, 1, 1, -1, -1, 1, 1]).all() and abs(right).max() < 0.2


@pytest.mark.parametrize("motion, way", [("clockwise", -1), ("counterclockwise", 1)])
def test_on_an_orbit_the_whole_picture_turns(motion, way):
    data = EmojiClips((9, 21, 21), "val", motions=[motion], names=["face-*"], styles=["twitter"], orbit=0.8)
    for i in range(len(data)):
        quarters = data[i].image[::2].astype(int)
        assert all(np.abs(np.rot90(quarters[0], way * k) - frame).mean() < 3 for k, frame in enumerate(quarters))
        assert np.abs(quarters[0] - quarters[1]).mean() > 10


def test_mean_pictures_tell_turns_apart_on_an_orbit_as_well_as_left_and_right_and_hardly_in_place():
    def apart(*motions, **fields):
        data = EmojiClips((8, 16, 16), "val", motions=[*motions], names=["face-*"], styles=["twitter"], **fields)
        clips = np.stack([data[i].image for i in range(len(data))]) / 127.5
        return np.square(np.subtract(*clips.reshape(2, len(data.emoji), *clips.shape[1:]).mean(1))).sum()

    turns, lines = ("clockwise", "counterclockwise"), apart("left", "right")
    assert apart(*turns, orbit=0.8) > 0.5 * lines and apart(*turns) < 0.1 * lines


def test_every_emoji_has_every_motion_and_held_out_emoji_stay_held_out():
    data, emoji = faces(labels=["motion", "style"]), Emoji((10, 10), "val", names=["face-*"], styles=["twitter"])
    assert len(data) == len(MOTIONS) * len(emoji) and data.classes["motion"] == MOTIONS
    assert {name.split()[0] for name in data.names} == set(emoji.names)
    assert {name.split()[0] for name in faces("train").names}.isdisjoint(emoji.names)
    assert np.bincount(data.labels["motion"]).tolist() == [len(emoji)] * 7


def test_a_clip_is_a_function_of_its_number_and_the_seed():
    data, other = faces(), faces(seed=1)
    copy = pickle.loads(pickle.dumps(data))
    assert np.array_equal(data[3].image, copy[3].image) and data[3].image.shape == (*SIZE, 3)
    assert not np.array_equal(data[3].image, other[3].image)
    some = faces(motions=["down", "left"])
    assert some[0].labels == {"motion": 0} and np.array_equal(some[0].image, faces(motions=["down"])[0].image)


def test_batches_are_clips_with_time_behind_the_batch():
    data = faces()
    batch = next(batches(data, seed=0, batch=4))
    assert batch.images.shape == (4, 9, 3, 24, 20) and batch.images.min() >= -1 and batch.images.max() == 1
    part = next(val_batches(data, batch=7, count=7))
    assert part.labels["motion"].tolist() == [0, 1, 2, 3, 4, 5, 6]
    expected = data[0].image[2].transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(part.images[0, 2].numpy(), expected, atol=1e-6)


@pytest.mark.parametrize(("fields", "error", "hint"), [
    ({"motions": ["lift"]}, DataError, "left"), ({"labels": ["motions"]}, DataError, "motion"),
    ({"sprite": 0.0}, RecipeError, r"data\.sprite"), ({"categories": ["flag"]}, DataError, "flags"),
])  # fmt: skip
def test_mistakes_are_named(fields, error, hint):
    with pytest.raises(error, match=hint):
        EmojiClips(SIZE, "val", **fields)


def test_images_for_clips_and_clips_for_images_are_refused():
    with pytest.raises(DataError, match=r"images.*clips.*\[C, H, W\]"):
        Emoji(SIZE, "val")
    with pytest.raises(DataError, match=r"clips.*images.*\[T, C, H, W\]"):
        EmojiClips((8, 8), "val")


def film(count: int, side: int = 8) -> np.ndarray:
    """Frame k is grey of level 20 k."""
    return np.repeat(np.arange(count, dtype=np.uint8) * 20, side * side * 3).reshape(count, side, side, 3)


@pytest.fixture
def videos(tmp_path):
    """A class of folders of frames and one of GIFs."""
    for name in ("one", "two"):
        folder = tmp_path / "walk" / name
        folder.mkdir(parents=True)
        for k, frame in enumerate(film(7)):
            Image.fromarray(frame).save(folder / f"{k:03}.png")
    (tmp_path / "run").mkdir()
    save_clip(film(9), tmp_path / "run/three.gif")
    return tmp_path


def test_folders_of_frames_and_gifs_are_clips_with_classes(videos):
    data = VideoClips((5, 8, 8), "train", path=str(videos), holdout=0.0)
    assert data.classes == {"label": ["run", "walk"]} and data.labels["label"].tolist() == [0, 1, 1]
    assert data[0].image[:, 0, 0, 0].tolist() == [40, 60, 80, 100, 120]  # the middle of nine
    assert data[1].image[:, 0, 0, 0].tolist() == [20, 40, 60, 80, 100]  # the middle of seven
    spread = VideoClips((3, 4, 4), "train", path=str(videos), stride=2, windows=3, holdout=0.0)
    assert len(spread) == 9 and spread[0].image.shape == (3, 4, 4, 3)
    assert [spread[i].image[:, 0, 0, 0].tolist() for i in (3, 4, 5)] == [[0, 40, 80], [20, 60, 100], [40, 80, 120]]


def test_a_video_that_is_too_short_says_so_and_can_be_left_out(videos):
    with pytest.raises(DataError, match=r"two: 7 frames; 8 with stride 1 need 8"):
        VideoClips((8, 8, 8), "train", path=str(videos), holdout=0.0)[2]
    skipping = VideoClips((8, 8, 8), "train", path=str(videos / "walk/.."), bad="skip", holdout=0.0)
    assert skipping[0].image.shape[0] == 8


def test_a_damaged_gif_is_named(tmp_path):
    (tmp_path / "torn.gif").write_bytes(b"GIF89a\x08\x00\x08")
    with pytest.raises(DataError, match=r"torn\.gif.*not a readable GIF"):
        VideoClips((4, 8, 8), "train", path=str(tmp_path), holdout=0.0)[0]


def test_folders_called_train_and_val_are_the_splits(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        save_clip(film(4), tmp_path / split / "a" / f"{split}.gif")
    for split in ("train", "val"):
        data = VideoClips((4, 8, 8), split, path=str(tmp_path))
        assert data.classes == {"label": ["a"]} and [name.endswith(f"{split}.gif") for name in data.names] == [True]


def test_a_folder_without_videos_is_refused(tmp_path):
    with pytest.raises(DataError, match="no videos"):
        VideoClips((4, 8, 8), "train", path=str(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        VideoClips((4, 8, 8), "train", path=str(tmp_path / "nowhere"))


def test_windows_cover_a_video_evenly():
    assert [chosen_frames(10, 4, 1, w, 3) for w in range(3)] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert chosen_frames(10, 4, 3, 0, 1) == [0, 3, 6, 9]


@pytest.mark.parametrize("ending", ["mp4", "webm"])
def test_video_files_are_clips(tmp_path, ending):
    pytest.importorskip("imageio_ffmpeg")
    (tmp_path / "v").mkdir()
    save_clip(film(9, 64), tmp_path / "v" / f"grey.{ending}")
    data = VideoClips((5, 16, 16), "train", path=str(tmp_path), holdout=0.0)
    assert np.abs(data[0].image[:, 8, 8, 0].astype(int) - [40, 60, 80, 100, 120]).max() <= 6
    (tmp_path / "v" / f"torn.{ending}").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"torn.*not a readable video"):
        VideoClips((5, 16, 16), "train", path=str(tmp_path), holdout=0.0)[1]


def test_video_files_without_the_package_name_the_extra(tmp_path, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(Exception, match=r"backbone-zoo\[video\]"):
        VideoClips((5, 16, 16), "train", path=str(tmp_path), labels=[])
