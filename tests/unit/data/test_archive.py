"""Archives that were made to do harm are refused whole, at once, and nothing is ever written."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile

import pytest
from made_images import png

from zoo.data.archive import Archive
from zoo.data.source.cifar10 import FILE_LIMIT, Cifar10
from zoo.data.source.folder import Folder
from zoo.errors import DataError


def member(name: str, data: bytes = png(), kind: int = stat.S_IFREG):
    info = zipfile.ZipInfo(name)
    info.filename = info.orig_filename = name
    info.external_attr, info.create_system = (kind | 0o644) << 16, 3
    info.compress_type = zipfile.ZIP_DEFLATED
    return info, data


ATTACKS = {
    "dots": [member("../out.png")],
    "deep dots": [member("a/b/../../../out.png")],
    "absolute": [member("/tmp/out.png")],
    "drive": [member("C:/out.png")],
    "backslash": [member("..\\out.png")],
    "symlink": [member("link.png", b"/etc/passwd", stat.S_IFLNK)],
    "device": [member("device.png", b"", stat.S_IFCHR)],
    "duplicate": [member("a.png"), member("a.png", png(1))],
    "case clash": [member("a.png"), member("A.PNG")],
    "unicode trick": [member("\u2025/out.png")],
    "same letter twice": [member("\u00e9.png"), member("e\u0301.png")],
    "bomb": [member("bomb.png", b"\0" * (40 << 20))],
}


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """An inner folder to work in; afterwards only the given archive may be new."""
    inner = tmp_path / "inner"
    inner.mkdir()
    monkeypatch.chdir(inner)
    yield inner
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["attack", "inner"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("members", ATTACKS.values(), ids=ATTACKS)
def test_zips_that_attack_are_refused(members, watched, seconds):
    with zipfile.ZipFile(watched / "attack", "w") as archive:
        for info, data in members:
            archive.writestr(info, data)

    def refused():
        with pytest.raises(DataError, match="attack"):
            Folder((8, 8), "train", path=str(watched / "attack"))

    assert seconds(refused) < 0.1


def tar_member(name: str, size: int, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in fields.items():
        setattr(info, key, value)
    return info, io.BytesIO(bytes(size))


TARS = {
    "link": [tar_member("test_batch.bin", 0, type=tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [tar_member("test_batch.bin", 0, type=tarfile.LNKTYPE, linkname="/etc/passwd")],
    "device": [tar_member("test_batch.bin", 0, type=tarfile.CHRTYPE)],
    "twice": [tar_member("test_batch.bin", 3073), tar_member("../test_batch.bin", 3073)],
    "too large": [tar_member("test_batch.bin", FILE_LIMIT + 1)],
    "torn record": [tar_member("test_batch.bin", 3000)],
}


@pytest.mark.parametrize("members", TARS.values(), ids=TARS)
def test_tars_that_attack_are_refused(members, watched):
    with tarfile.open(watched / "attack", "w:gz") as archive:
        for info, data in members:
            archive.addfile(info, data)
    with pytest.raises(DataError):
        Cifar10((32, 32), "val", path=str(watched / "attack"))


@pytest.mark.parametrize("data", [b"", b"PK\5\6", b"no zip at all"])
def test_what_is_no_archive_is_refused(tmp_path, data):
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.zip"):
        Archive(tmp_path / "a.zip")


def test_damage_inside_names_the_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.png", png())
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[60] ^= 255
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"one\.png"):
        Archive(tmp_path / "a.zip").read("one.png")


def test_a_forked_process_has_a_handle_of_its_own(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("one.png", png())
    made = Archive(tmp_path / "a.zip")
    mine = made._zip()
    child = os.fork()
    if child == 0:
        os._exit(0 if made._zip() is not mine and made.read("one.png") == png() else 1)
    assert os.waitpid(child, 0)[1] == 0 and made._zip() is mine
