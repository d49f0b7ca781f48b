"""Latents: encoded once, resumed exactly, recognised, and trained on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from zoo.autoencoders.moments import posterior_sample
from zoo.builder import section
from zoo.cli.data import main
from zoo.data.npy import read_npy
from zoo.errors import DataError
from zoo.recipe import load_recipe
from zoo.train.feed import Feed
from zoo.train.loop import train
from zoo.train.ranks import Ranks

HERE = Path(__file__).parent
RECIPE = """
version: 1
plugins: [{plugin}]
shape: [3, 4, 6]
autoencoder: stand_in
process: {{use: vp_sde, predict: eps}}
backbone:
  width: 16
  depth: 1
  patch: {{use: conv, size: 2}}
  conditioning: {{tokens: [time, label], embed: {{time: sinusoid, label: {{use: table, classes: 2}}}}}}
  mixer: {{use: attention, heads: 2}}
  norm: rms
sampler: {{use: dpm_solver, steps: 2}}
data: {{use: folder, path: {pictures}, holdout: 0.3}}
train: {{steps: 4, batch: 4, log_every: 2, val_every: 4, preview_every: 4, preview_count: 2, save_every: 0, workers: 0}}
"""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for i in range(20):
        path = folder / "ab"[i % 2] / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def recipe_file(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "latent.yaml"
    path.write_text(RECIPE.format(plugin=HERE / "stand_in_vae.py", pictures=pictures))
    return path


@pytest.fixture
def encode(recipe_file):
    return lambda out, *more: main(["encode", str(recipe_file), "--out", str(out), "--shard", "5", "--batch", "2",
                                    "--device", "cpu", *more])  # fmt: skip


@pytest.fixture(scope="module")
def latents(recipe_file, tmp_path_factory):
    out = tmp_path_factory.mktemp("latents")
    assert main(["encode", str(recipe_file), "--out", str(out), "--shard", "5", "--float32", "--device", "cpu"]) == 0
    return out


def dataset(path, size=(8, 12), split="train", **fields):
    from zoo.data.source.latents import Latents

    return Latents(size, split, path=str(path), **fields)


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


def test_latents_are_the_moments_of_the_same_images_and_of_their_mirror_images(latents, recipe_file):
    recipe = load_recipe(recipe_file)
    images, vae = section(recipe, "data")((8, 12), "train"), section(recipe, "autoencoder")()
    stored = dataset(latents)
    assert len(stored) == len(images) and stored.classes == images.classes
    for i in (0, len(stored) - 1):
        pixels = torch.from_numpy(images[i].image).permute(2, 0, 1)[None] / 127.5 - 1
        assert stored[i].labels == images[i].labels
        np.testing.assert_allclose(stored[i].image, vae.moments(pixels)[0], atol=1e-6)
        mirrored = stored.mirrored(np.array([i]), np.array([True]))[0]
        np.testing.assert_allclose(stored[int(mirrored)].image, vae.moments(pixels.flip(-1))[0], atol=1e-6)


def test_an_encoding_that_was_killed_goes_on_and_gives_the_same_bytes(encode, tmp_path, monkeypatch):
    from zoo.data import encode as module

    encode(tmp_path / "whole")
    plain, written = module.write_shard, []

    def dies(path, *rest):
        if len(written) == 2:
            (path.parent / f".{path.name}.1.tmp").write_bytes(b"torn")
            raise KeyboardInterrupt
        written.append(path.name)
        plain(path, *rest)

    monkeypatch.setattr(module, "write_shard", dies)
    assert encode(tmp_path / "parts") == 130
    with pytest.raises(DataError, match=r"no finished latents.*goes on"):
        dataset(tmp_path / "parts")
    before = digests(tmp_path / "parts")
    monkeypatch.undo()
    monkeypatch.setattr(module, "write_shard", lambda path, *rest: (written.append(path.name), plain(path, *rest)))
    assert encode(tmp_path / "parts") == 0 and len(set(written)) == len(written) == 5
    whole = digests(tmp_path / "whole")
    assert {k: v for k, v in digests(tmp_path / "parts").items() if not k.startswith(".")} == whole
    assert all(whole[name] == digest for name, digest in before.items() if not name.startswith("."))


def test_processes_share_the_shards(encode, recipe_file, tmp_path):
    from zoo.cli.data_encode import encoder_of
    from zoo.data.encode import Request

    encode(tmp_path / "whole")
    request = Request(tmp_path / "shared", shard=5, batch=2)
    for rank in (1, 0):
        encoder = encoder_of(load_recipe(recipe_file), request, torch.device("cpu"))
        assert encoder.run((rank, 2), say=lambda text: None)
        if rank:
            with pytest.raises(DataError, match="a shard is missing"):
                encoder.finish()
    encoder.finish()
    assert digests(tmp_path / "shared") == digests(tmp_path / "whole")


def test_a_request_to_stop_ends_between_batches(encode, tmp_path, monkeypatch, capsys):
    import signal

    from zoo.data import encode as module

    plain = module.read
    monkeypatch.setattr(module, "read", lambda *a: (signal.raise_signal(signal.SIGTERM), plain(*a))[1])
    assert encode(tmp_path / "a") == 0
    assert "stopped by SIGTERM" in capsys.readouterr().out and not (tmp_path / "a/index.json").exists()


def test_other_settings_are_refused_in_the_same_folder(encode, tmp_path, capsys):
    encode(tmp_path / "a")
    assert encode(tmp_path / "a", "autoencoder.spread=0.2") == 2
    assert "other latents (autoencoder)" in capsys.readouterr().err
    assert encode(tmp_path / "a", "--no-flips") == 2 and encode(tmp_path / "a") == 0


def test_another_autoencoder_or_resolution_is_refused_by_training(latents, recipe_file):
    settings = [f"data={{use: latents, path: {latents}}}"]
    recipe = load_recipe(recipe_file, [*settings, "autoencoder.path=elsewhere"])
    with pytest.raises(DataError, match="another autoencoder: path 'here', the recipe has 'elsewhere'"):
        Feed(recipe, section(recipe, "train")(), Ranks(torch.device("cpu")))
    with pytest.raises(DataError, match="images of 8x12, the recipe wants 16x24"):
        dataset(latents, (16, 24))
    stored = dataset(latents)
    stored.copies = 1
    with pytest.raises(DataError, match="--flips"):
        stored.mirrored(np.array([0]), np.array([True]))


@pytest.mark.parametrize("flip", ["true", "false"])
def test_training_on_latents_draws_anew_and_the_same_for_any_workers_and_shares(latents, recipe_file, flip):
    def first(workers, share, start=0):
        recipe = load_recipe(recipe_file, [f"data={{use: latents, path: {latents}}}", f"train.flip={flip}",
                                           f"train.workers={workers}"])  # fmt: skip
        feed = Feed(recipe, section(recipe, "train")(), Ranks(torch.device("cpu"), *share))
        return next(feed.batches(start))

    whole = first(0, (0, 1))
    assert whole.images.shape == (4, 3, 4, 6) and torch.equal(whole.images, first(1, (0, 1)).images)
    shares = [first(0, (rank, 2)).images for rank in (0, 1)]
    assert torch.equal(whole.images, torch.cat(shares))
    assert not torch.equal(whole.images, first(0, (0, 1), start=4).images)


def test_training_on_latents_runs_and_previews_are_decoded(latents, recipe_file, tmp_path):
    recipe = load_recipe(recipe_file, [f"data={{use: latents, path: {latents}}}", "train.flip=true"])
    assert "finished 4" in train(recipe, tmp_path / "a", device="cpu")
    with Image.open(tmp_path / "a/samples/step-00000004.png") as grid:
        assert grid.size[0] >= 12


def test_a_sample_of_the_posterior_has_its_mean_and_deviation():
    moments = torch.cat([torch.full((1, 2, 3, 3), 3.0), torch.full((1, 2, 3, 3), 2 * np.log(0.5))], 1)
    noise = torch.randn(5000, 2, 3, 3)
    drawn = posterior_sample(moments.expand(5000, -1, -1, -1), noise, scale=2.0, shift=1.0)
    assert drawn.mean().item() == pytest.approx(4, abs=0.02) and drawn.std().item() == pytest.approx(1, abs=0.02)
    assert torch.equal(posterior_sample(moments, None, 2.0, 1.0), torch.full((1, 2, 3, 3), 4.0))


@pytest.mark.parametrize("label", [np.int64(17), np.int32(3), 7, np.array(2)])
@pytest.mark.parametrize("protocol", [3, 4])
def test_published_features_are_read_without_running_them(tmp_path, monkeypatch, label, protocol):
    import pickle

    moments = np.random.default_rng(0).normal(size=(8, 3, 3)).astype(np.float32)
    pair = np.empty(2, dtype=object)
    pair[0], pair[1] = moments, label
    with (tmp_path / "5.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(pair))
        pickle.dump(pair, file, protocol=protocol)
    monkeypatch.setattr(pickle, "Unpickler", None)
    monkeypatch.setattr(pickle, "load", None)
    values, number = read_npy(tmp_path / "5.npy")
    np.testing.assert_array_equal(values, moments)
    assert number == int(label)


def test_a_hostile_feature_file_runs_nothing(tmp_path):
    class Attack:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "canary",))

    np.save(tmp_path / "0.npy", np.array([Attack(), 1], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"0\.npy"):
        read_npy(tmp_path / "0.npy")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '|O'", b"PK\x03\x04"])
def test_damaged_feature_files_are_named(tmp_path, content):
    (tmp_path / "0.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"0\.npy"):
        read_npy(tmp_path / "0.npy")


def test_features_are_a_data_set(tmp_path):
    from zoo.data.source.features import Features

    moments = np.random.default_rng(0).normal(size=(6, 8, 4, 4)).astype(np.float32)
    for i, values in enumerate(moments):
        np.save(tmp_path / f"{i}.npy", values)
        (tmp_path / "labels").mkdir(exist_ok=True)
        np.save(tmp_path / f"labels/{i}.npy", np.array([i % 3]))
    found = Features((32, 32), "train", path=str(tmp_path), classes=3, label_path=str(tmp_path / "labels"))
    assert len(found) == 6 and found[4].labels == {"label": 1} and np.array_equal(found[4].image, moments[4])
    assert len(Features((32, 32), "val", path=str(tmp_path), classes=0)) == 0
    with pytest.raises(DataError, match="label is None"):
        Features((4, 4), "train", path=str(tmp_path))[0]
    with pytest.raises(DataError, match="fit no image"):
        Features((30, 32), "train", path=str(tmp_path))


def test_check_counts_sizes_and_classes_and_names_bad_files(pictures, tmp_path, capsys):
    import shutil

    assert main(["check", str(pictures)]) == 0
    said = capsys.readouterr().out
    assert "8x12 is the most frequent" in said and "2 classes of label" in said
    folder = tmp_path / "copy"
    shutil.copytree(pictures, folder)
    (folder / "a/00.png").write_bytes(b"")
    (folder / "a/02.png").write_bytes((folder / "a/04.png").read_bytes()[:60])
    assert main(["check", str(folder)]) == 1
    said = capsys.readouterr().out
    assert said.count("bad: ") == 2 and "a/00.png: the file is empty" in said and "a/02.png" in said


def test_check_of_a_recipe_says_what_is_too_small(recipe_file, capsys):
    assert main(["check", str(recipe_file), "shape=[3, 32, 32]"]) == 0
    assert "are smaller than 64x64" in capsys.readouterr().out


def test_check_finds_a_damaged_shard(latents, tmp_path, capsys):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(latents, folder)
    assert main(["check", str(folder)]) == 0 and "20 images of 8x12" in capsys.readouterr().out
    shard = next(folder.glob("train-*.safetensors"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    assert main(["check", str(folder)]) == 1 and shard.name in capsys.readouterr().out


def test_the_command_lists_its_subcommands_and_corrects_them(capsys):
    assert main([]) == 0 and "encode" in capsys.readouterr().out
    assert main(["chekc"]) == 2 and "did you mean 'check'" in capsys.readouterr().err


def test_an_index_says_what_the_latents_are(latents):
    index = json.loads((latents / "index.json").read_text())
    assert index["autoencoder"]["use"] == "stand_in" and index["scale"] == 0.5 and index["shift"] == 0.25
    assert index["shape"] == [2, 6, 4, 6] and index["size"] == [8, 12] and index["images"] == 20
