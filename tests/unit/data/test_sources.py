"""Folders, zips, parquet and CIFAR-10: labels, splits, bad images, and what is said when something is missing."""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import shutil
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_images import encoded, pixels, png
from PIL import Image

from zoo.data import parquet_rows, places
from zoo.data.source import cifar10
from zoo.data.source.cifar10 import Cifar10
from zoo.data.source.folder import Folder
from zoo.data.source.parquet import Parquet
from zoo.errors import DataError

SIZE = (10, 12)


def both(make, **fields):
    return [make(SIZE, split, **fields) for split in ("train", "val")]


def test_folders_give_labels_and_a_share_is_held_out_by_name(tree):
    train, val = both(Folder, path=str(tree), holdout=0.2)
    assert len(train) + len(val) == 60 and 3 <= len(val) <= 22
    assert not set(train.names) & set(val.names) and train.classes == {"label": ["cat", "dog"]}
    for i, name in enumerate(train.names):
        number = int(Path(name).stem)
        assert train[i].labels == {"label": number % 2} and np.array_equal(train[i].image, pixels(number))
    (tree / "cat" / "new.png").write_bytes(png(99))
    again = both(Folder, path=str(tree), holdout=0.2)
    assert set(train.names) <= set(again[0].names) and set(val.names) <= set(again[1].names)


def test_a_zip_equals_its_folder(tree, tmp_path):
    shutil.make_archive(str(tmp_path / "all"), "zip", tree)
    for one, two in zip(both(Folder, path=str(tree)), both(Folder, path=str(tmp_path / "all.zip"))):
        assert len(one) == len(two)
        for a, b in zip(one, two):
            assert np.array_equal(a.image, b.image) and a.labels == b.labels


def test_folders_named_after_splits_are_the_splits(tree, tmp_path):
    root = tmp_path / "splits"
    shutil.copytree(tree, root / "train")
    shutil.copytree(tree / "dog", root / "test" / "dog")
    train, val = both(Folder, path=str(root))
    assert (len(train), len(val)) == (60, 30) and train.classes == val.classes == {"label": ["cat", "dog"]}
    assert {val[i].labels["label"] for i in range(30)} == {1}


def test_loose_images_have_no_label_and_a_mixture_is_refused(tree):
    loose = Folder(SIZE, "train", path=str(tree / "cat" / "deeper"), holdout=0.0)
    assert loose.classes == {} and loose[0].labels == {} and len(loose) == 30
    (tree / "loose.png").write_bytes(png())
    with pytest.raises(DataError, match=r"loose\.png.*data\.labels=\[\]"):
        Folder(SIZE, "train", path=str(tree))
    assert len(Folder(SIZE, "train", path=str(tree), labels=[], holdout=0.0)) == 61


def test_links_are_followed_but_not_round_in_circles(tree):
    (tree / "cat" / "again").symlink_to(tree / "cat", target_is_directory=True)
    (tree / "dog.png").mkdir()
    (tree / "dog" / ".hidden.png").write_bytes(b"")
    assert len(Folder(SIZE, "train", path=str(tree), holdout=0.0)) == 60


@pytest.mark.parametrize("path, word", [("nowhere", "no such"), (".", "no images")])
def test_nothing_to_read_is_said(tmp_path, path, word):
    with pytest.raises(DataError, match=word):
        Folder(SIZE, "train", path=str(tmp_path / path))


def test_a_bad_image_is_named_or_skipped_the_same_way_every_time(tmp_path, caplog):
    for i in range(210):
        (tmp_path / f"{i:03}.png").write_bytes(png(i))
    (tmp_path / "100.png").write_bytes(png()[:80])
    (tmp_path / "101.png").write_bytes(b"")
    raising = Folder(SIZE, "train", path=str(tmp_path), holdout=0.0)
    with pytest.raises(DataError, match=r"100\.png.*data\.bad=skip"):
        raising[100]
    for order in ([100, 101, 100], [101, 100, 99, 101]):
        caplog.clear()
        skipping = Folder(SIZE, "train", path=str(tmp_path), holdout=0.0, bad="skip")
        with caplog.at_level(logging.WARNING):
            samples = [skipping[i] for i in order]
        assert all(Path(s.name).stem == ("102" if i > 99 else "099") for i, s in zip(order, samples))
        assert sorted(r.getMessage().count(".png") for r in caplog.records) == [1, 1]


def test_more_than_one_bad_image_in_a_hundred_stops(tmp_path):
    for i in range(100):
        (tmp_path / f"{i:03}.png").write_bytes(png(i) if i % 2 else b"")
    data = Folder(SIZE, "train", path=str(tmp_path), holdout=0.0, bad="skip")
    data[0]
    with pytest.raises(DataError, match="2 of 100"):
        data[2]


def write_parquet(path: Path, rows: range, label="label", image="image", words=None, struct=True, meta=None, **extra):
    images = [{"bytes": png(i), "path": f"{i}.png"} if struct else png(i) for i in rows]
    columns = {image: images, **extra}
    if label:
        columns[label] = [words[i % len(words)] if words else i % 3 for i in rows]
    table = pa.table(columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(meta), path, row_group_size=7)


def test_parquet_shards_splits_and_class_names(tmp_path):
    features = {"info": {"features": {"fine_label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    meta = {"huggingface": json.dumps(features)}
    write_parquet(tmp_path / "data" / "train-00000-of-00002.parquet", range(20), "fine_label", "img", meta=meta)
    write_parquet(tmp_path / "data" / "train-00001-of-00002.parquet", range(20, 30), "fine_label", "img", meta=meta)
    write_parquet(tmp_path / "data" / "test-00000-of-00001.parquet", range(50, 57), "fine_label", "img", meta=meta)
    train, val = both(Parquet, path=str(tmp_path))
    assert (len(train), len(val)) == (30, 7) and train.classes == val.classes == {"label": ["a", "b", "c"]}
    for i in range(30):
        assert np.array_equal(train[i].image, pixels(i)) and train[i].labels == {"label": i % 3}
    assert np.array_equal(val[6].image, pixels(56))
    copy = pickle.loads(pickle.dumps(train))
    assert np.array_equal(copy[25].image, train[25].image)


def test_parquet_one_file_raw_bytes_and_words(tmp_path):
    write_parquet(tmp_path / "birds.parquet", range(80), "kind", "photo", words=["wren", "owl"], struct=False)
    train, val = both(Parquet, path=str(tmp_path / "birds.parquet"), image="photo", label="kind", holdout=0.25)
    assert len(train) + len(val) == 80 and 8 <= len(val) <= 36 and train.classes == {"label": ["owl", "wren"]}
    for data in (train, val):
        row = int(data[2].name.rpartition(":")[2])
        assert np.array_equal(data[2].image, pixels(row)) and data[2].labels == {"label": 1 - row % 2}


def test_parquet_folders_named_after_splits(tmp_path):
    for i, split in enumerate(("train", "validation", "test")):
        write_parquet(tmp_path / split / "0000.parquet", range(10 * i, 10 * i + 5 + i))
    assert [len(d) for d in both(Parquet, path=str(tmp_path))] == [5, 6]


def test_parquet_without_labels_or_with_unusable_ones(tmp_path):
    write_parquet(tmp_path / "a.parquet", range(5), label=None, other=list(range(5)))
    assert Parquet(SIZE, "train", path=str(tmp_path), labels=[])[0].labels == {}
    with pytest.raises(DataError, match="no label"):
        Parquet(SIZE, "train", path=str(tmp_path))
    with pytest.raises(DataError, match="did you mean 'other'"):
        Parquet(SIZE, "train", path=str(tmp_path), label="othr")
    write_parquet(tmp_path / "a.parquet", range(5), label=None, label_=None or [0] * 5, picture_=[0] * 5, image="x")
    with pytest.raises(DataError, match=r"looks like the image.*data\.image"):
        Parquet(SIZE, "train", path=str(tmp_path))
    write_parquet(tmp_path / "a.parquet", range(5), words=[0, -1])
    with pytest.raises(DataError, match=r"data\.labels=\[\]"):
        Parquet(SIZE, "train", path=str(tmp_path), holdout=0.0)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="not a readable parquet"):
        Parquet(SIZE, "train", path=str(tmp_path))


def test_large_parquet_is_mapped_from_a_copy_that_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(parquet_rows, "IN_MEMORY", 0)
    write_parquet(tmp_path / "in" / "train-0.parquet", range(30))
    write_parquet(tmp_path / "in" / "train-1.parquet", range(30, 40))
    data = Parquet(SIZE, "train", path=str(tmp_path / "in"), holdout=0.0)
    assert all(np.array_equal(data[i].image, pixels(i)) for i in (39, 0, 17, 30))
    (copy,) = (tmp_path / "cache" / "parquet").iterdir()
    before = copy.stat().st_mtime_ns
    assert np.array_equal(Parquet(SIZE, "train", path=str(tmp_path / "in"), holdout=0.0)[33].image, pixels(33))
    assert copy.stat().st_mtime_ns == before


def test_without_pyarrow_the_command_is_given(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"pip install 'backbone-zoo\[data\]'"):
        Parquet(SIZE, "train", path=str(tmp_path))


@pytest.fixture
def bins(tmp_path) -> Path:
    """A CIFAR-10 of 5 x 4 + 3 images in its published layout."""
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i, name in enumerate(["test_batch", *(f"data_batch_{k}" for k in range(1, 6))]):
        images = np.stack([pixels(10 * i + j, 32, 32) for j in range(4 if i else 3)])
        labels = np.arange(len(images), dtype=np.uint8)[:, None]
        records = np.concatenate([labels, images.transpose(0, 3, 1, 2).reshape(len(images), -1)], 1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


def test_cifar_from_bins_from_the_archive_and_from_parquet(bins, tmp_path):
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(bins, "cifar-10-batches-bin")
    for path in (bins, bins.parent / "cifar-10-binary.tar.gz", bins.parent):
        train, val = (Cifar10((32, 32), split, path=str(path)) for split in ("train", "val"))
        assert (len(train), len(val)) == (20, 3) and train.classes["label"][3] == "cat"
        assert np.array_equal(train[5].image, pixels(21, 32, 32)) and train[5].labels == {"label": 1}
        assert np.array_equal(val[2].image, pixels(2, 32, 32))
    assert Cifar10((24, 40), "val", path=str(bins), labels=[])[0].image.shape == (24, 40, 3)
    write_parquet(tmp_path / "p" / "train.parquet", range(6))
    write_parquet(tmp_path / "p" / "test.parquet", range(4))
    assert [len(d) for d in both(Cifar10, path=str(tmp_path / "p"))] == [6, 4]


def test_cifar_is_fetched_once_and_checked(bins, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "published.tar.gz", "w:gz") as archive:
        archive.add(bins, "cifar-10-batches-bin")
    asked = []

    def download(url, target):
        asked.append(url)
        shutil.copy(tmp_path / "published.tar.gz", target)

    monkeypatch.setenv("ZOO_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(places, "_download", download)
    with pytest.raises(DataError, match="not the published file"):
        Cifar10((32, 32), "val")
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5((tmp_path / "published.tar.gz").read_bytes()).hexdigest())
    assert [len(Cifar10((32, 32), split)) for split in ("train", "val")] == [20, 3] and len(asked) == 2
    assert len(list((tmp_path / "cache" / "cifar10").iterdir())) == 6


def test_offline_cifar_says_which_file_goes_where(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(DataError) as caught:
        Cifar10((32, 32), "train")
    text = str(caught.value)
    assert cifar10.URL in text and str(tmp_path / "cifar10" / "cifar-10-binary.tar.gz") in text and "data.path=" in text
    assert [p.name for p in tmp_path.rglob("*")] == ["cifar10"]


def test_the_shelf_lists_every_source_without_importing_it():
    code = ("import sys; from zoo.registry import parts; names = [(p.name, p.doc) for p in parts('dataset')]; "
            "assert all(d for _, d in names); print(*[n for n, _ in names]); "
            "assert not {'torch', 'numpy', 'PIL', 'pyarrow'} & set(sys.modules)")  # fmt: skip
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert {"cifar10", "emoji", "folder", "parquet"} <= set(answer.stdout.split())


@pytest.mark.parametrize("name", ["cifar10", "emoji", "folder", "parquet"])
def test_sources_do_not_import_torch(name):
    code = f"import sys, zoo.data.source.{name}; assert 'torch' not in sys.modules and 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wide_images_may_be_cut_distorted_or_padded(tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (40, 10), (9, 9, 9))))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    shares = {fit: (Folder((20, 20), "train", path=str(tmp_path / "a.zip"), fit=fit, holdout=0.0)[0].image == 9).mean()
              for fit in ("crop", "resize", "pad")}  # fmt: skip
    assert shares == {"crop": 1, "resize": 1, "pad": 0.25}
