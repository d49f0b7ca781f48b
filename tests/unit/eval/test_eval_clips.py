"""Frechet distances of clips: what each sees, under names of their own, end to end through zoo-eval."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from zoo.builder import build_backbone
from zoo.cli.eval import main
from zoo.errors import ShapeError, ZooError
from zoo.eval import build_reference, evaluate
from zoo.eval.clips import changes
from zoo.eval.figures import open_metrics
from zoo.eval.lens import Lens
from zoo.eval.tally import Needs, Tally
from zoo.weights.load import save_pretrained

CPU = torch.device("cpu")
BOTH = {"frames", "changes"}


@pytest.fixture
def clips(tmp_path):
    """clips(name, pixels) -> npz of (N,T,H,W,3)."""

    def write(name: str, pixels: np.ndarray):
        np.savez(tmp_path / f"{name}.npz", arr_0=pixels)
        return tmp_path / f"{name}.npz"

    return write


@pytest.fixture
def moving() -> np.ndarray:
    """A bar that goes right, (24,5,8,8,3), at another height and brightness in each clip."""
    rng, made = np.random.default_rng(0), np.full((24, 5, 8, 8, 3), 255, dtype=np.uint8)
    for clip in made:
        row, level = rng.integers(0, 6), rng.integers(0, 200)
        for k, frame in enumerate(clip):
            frame[row : row + 2, k : k + 3] = level
    return made


def test_streams_are_means_over_frames_and_over_halved_differences(moving, waves):
    lens = Lens(waves, CPU)
    found = lens(moving[:2], BOTH)
    frames = np.stack([lens(clip, {"features"})["features"].mean(0) for clip in moving[:2]])
    np.testing.assert_allclose(found["frames"], frames, rtol=1e-5)
    signed = moving[:2].astype(int)
    halves = ((signed[:, 1:] - signed[:, :-1] + 256) // 2).clip(0, 255).astype(np.uint8)
    expected = np.stack([lens(clip, {"features"})["features"].mean(0) for clip in halves])
    np.testing.assert_allclose(found["changes"], expected, rtol=1e-5)


def test_changes_of_a_still_clip_are_grey_and_one_frame_has_none():
    still = torch.full((2, 3, 3, 4, 4), 200, dtype=torch.uint8)
    assert changes(still).eq(128).all() and changes(still).shape == (2, 2, 3, 4, 4)
    with pytest.raises(ShapeError, match="one frame"):
        changes(still[:, :1])


def test_played_backwards_the_frames_are_the_same_and_the_changes_are_not(clips, moving, waves):
    forwards, backwards = clips("a", moving), clips("b", moving[:, ::-1])
    same = evaluate(forwards, metrics=["clip_fd"], extractor=waves, reference=forwards, count=None).metrics
    other = evaluate(backwards, metrics=["clip_fd"], extractor=waves, reference=forwards, count=None).metrics
    assert set(same) == {"FrameFD-waves", "ChangeFD-waves"} and max(same.values()) < 1e-4
    assert other["FrameFD-waves"] < 1e-4 and other["ChangeFD-waves"] > 1


def test_other_pictures_in_the_same_motion_are_seen_by_the_frames(clips, moving, waves):
    real, lighter = clips("a", moving), clips("b", 255 - (255 - moving) // 2)
    found = evaluate(lighter, metrics=["clip_fd"], extractor=waves, reference=real, count=None)
    assert found.metrics["FrameFD-waves"] > 1
    assert found.protocol["images"]["size"] == "5x8x8" and found.protocol["reference"]["size"] == "5x8x8"


def test_images_and_clips_are_not_mixed_up(clips, moving, waves):
    with pytest.raises(ZooError, match=r"of images, these are clips of 5 frames; ask for the metric clip_fd"):
        evaluate(clips("a", moving), extractor=waves, reference=clips("b", moving), count=None)
    with pytest.raises(ZooError, match=r"of clips, these are images"):
        evaluate(clips("c", moving[:, 0]), metrics=["clip_fd"], extractor=waves, reference=clips("d", moving[:, 0]),
                 count=None)  # fmt: skip


def test_it_is_never_called_fvd(waves):
    with pytest.raises(ZooError, match=r"FVD is of features of another network.*clip_fd"):
        open_metrics(["fvd"], Lens(waves, CPU))


def test_statistics_of_clips_survive_the_file(tmp_path, moving, waves):
    made = Tally(Needs(frozenset(BOTH)))
    made.add(range(24), moving, Lens(waves, CPU)(moving, BOTH))
    made.save(tmp_path / "a.npz")
    back = Tally.load(tmp_path / "a.npz")
    assert back.needs.covers(made.needs) and back.width == 16
    for stream in BOTH:
        np.testing.assert_allclose(back.gaussian(stream).cov, made.gaussian(stream).cov)


def test_a_model_of_videos_is_measured_against_its_own_data(recipe, tmp_path, waves, capsys):
    torch.manual_seed(0)
    video = recipe.override({"shape": [3, 3, 8, 8], "data": {"use": "emoji_clips", "names": ["flag-d*"]},
                             "backbone.conditioning.embed.category.reads": "motion"})  # fmt: skip
    save_pretrained(build_backbone(video), tmp_path / "model", video)
    words = [str(tmp_path / "model"), "-n", "4", "--metrics", "clip_fd", "--extractor", waves, "--device", "cpu"]
    assert main([*words, "--out", str(tmp_path / "eval.json")]) == 0, capsys.readouterr().err
    result = json.loads((tmp_path / "eval.json").read_text())
    assert set(result["metrics"]) == {"FrameFD-waves", "ChangeFD-waves"}
    assert result["protocol"]["reference"]["source"] == "emoji_clips"
    reference = build_reference(video, metrics=["clip_fd"], extractor=waves, device="cpu")
    assert reference.hash == result["protocol"]["reference"]["hash"]
