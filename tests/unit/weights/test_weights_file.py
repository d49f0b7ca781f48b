"""A weights file gives back exactly what was put in, or an error; it never runs code."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import CheckpointError
from zoo.weights.file import read_weights, save_weights
from zoo.weights.header import LARGEST_HEADER, read_header

RECIPE = "shape: [3, 8, 8]\n"


def tensors() -> dict[str, torch.Tensor]:
    """One of each difficulty."""
    torch.manual_seed(0)
    base = torch.randn(6, 5)
    return {
        "plain": base,
        "turned": torch.randn(4, 7).t(),
        "strided": torch.randn(9, 9)[::2, 1::3],
        "slice_a": torch.arange(10.0)[2:5],
        "tied": base,
        "overlap": base[1:3],
        "bf16": torch.randn(3, 3).bfloat16(),
        "half": torch.tensor([float("nan"), float("inf"), -0.0]).half(),
        "ints": torch.arange(5),
        "bools": torch.tensor([True, False]),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "parameter": nn.Parameter(torch.ones(2)),
    }


def bits(tensor: torch.Tensor) -> bytes:
    plain = tensor.detach().contiguous()
    return plain.reshape(-1).view(torch.uint8).numpy().tobytes() if plain.numel() else b""


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(path, tensors(), RECIPE, {"step": 7, "rates": {10: 0.5, 9: 0.1}})
    return path


def test_round_trip_is_bit_equal(saved):
    back, before = read_weights(saved), tensors()
    assert back.tensors.keys() == before.keys()
    for name, tensor in before.items():
        assert back.tensors[name].dtype == tensor.dtype and back.tensors[name].shape == tensor.shape
        assert bits(back.tensors[name]) == bits(tensor), name
    assert back.recipe_yaml == RECIPE and back.card == {"step": 7, "rates": {"10": 0.5, "9": 0.1}}


def test_the_header_is_enough_to_know_what_is_inside(saved):
    header = read_header(saved)
    assert header.shapes["turned"] == ("F32", (7, 4)) and header.card["step"] == 7


def test_saving_leaves_one_file_with_the_usual_permissions(saved):
    ordinary = saved.with_name("ordinary")
    ordinary.touch()
    assert saved.stat().st_mode == ordinary.stat().st_mode
    assert sorted(p.name for p in saved.parent.iterdir()) == ["model.safetensors", "ordinary"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_failing_disk_leaves_the_old_file(saved, monkeypatch, function):
    def fail(*_):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(os, function, fail)
    with pytest.raises(OSError, match="No space"):
        save_weights(saved, {"a": torch.ones(3)}, RECIPE, {})
    assert saved.read_bytes() == before and list(saved.parent.iterdir()) == [saved]


def test_saving_the_same_twice_gives_the_same_bytes(saved, tmp_path):
    save_weights(tmp_path / "again.safetensors", tensors(), RECIPE, {"step": 7, "rates": {10: 0.5, 9: 0.1}})
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_truncation_is_found_wherever_it_cuts(saved):
    whole = saved.read_bytes()
    for cut in np.unique(np.linspace(0, len(whole) - 1, 60).astype(int)):
        saved.write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"model.safetensors: .*(truncated|damaged)"):
            read_weights(saved)


def test_appended_bytes_are_found(saved):
    saved.write_bytes(saved.read_bytes() + b"\0" * 8)
    with pytest.raises(CheckpointError, match="damaged"):
        read_weights(saved)


def test_every_flipped_bit_is_found(saved):
    whole, rng = saved.read_bytes(), np.random.default_rng(0)
    for position in rng.integers(0, len(whole) * 8, 300):
        flipped = bytearray(whole)
        flipped[position // 8] ^= 1 << int(position % 8)
        saved.write_bytes(bytes(flipped))
        try:
            back = read_weights(saved)
        except CheckpointError as error:
            assert "model.safetensors" in str(error)
        else:  # a flip in the padding after the JSON changes nothing
            assert {n: bits(t) for n, t in back.tensors.items()} == {n: bits(t) for n, t in tensors().items()}
            assert back.recipe_yaml == RECIPE


def header_file(path, header: bytes, data: bytes = b""):
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


@pytest.mark.parametrize("header", [
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"a": 1}', b"[" * 200_000, b'{"__metadata__": 3}',
    b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, NaN]}}',
    b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 1e999]}}',
    b'{"a": {"dtype": "F32", "shape": 3, "data_offsets": [0, 0]}, "__metadata__": '
    b'{"format": "zoo-weights-1", "recipe": "", "card": "{}", "sha256": "0"}}',
    b'{"__metadata__": {"format": "zoo-weights-1", "recipe": 1, "card": "{}", "sha256": "0"}}',
    b'{"__metadata__": {"format": "zoo-weights-1", "recipe": "", "card": "[", "sha256": "0"}}',
])  # fmt: skip
def test_a_broken_header_is_refused(tmp_path, header):
    with pytest.raises(CheckpointError):
        read_weights(header_file(tmp_path / "a.safetensors", header))


def test_no_header_whatever_gives_an_error_of_another_kind(saved):
    size = int.from_bytes(saved.read_bytes()[:8], "little")
    entries, data = json.loads(saved.read_bytes()[8 : 8 + size]), saved.read_bytes()[8 + size :]
    odd = [None, -1, 2**70, 1.5, "x", "\ud800", [], [0], {}, True, float("nan"), [[1]], {"data_offsets": [0, 0]}]
    for name, entry in entries.items():
        for key in entry:
            for value in (v for v in odd if v != entry[key]):
                changed = {**entries, name: {**entry, key: value}}
                with pytest.raises(CheckpointError):
                    read_weights(header_file(saved, json.dumps(changed).encode(), data))


def test_lying_offsets_are_refused(saved):
    size = int.from_bytes(saved.read_bytes()[:8], "little")
    entries = json.loads(saved.read_bytes()[8 : 8 + size])
    data = saved.read_bytes()[8 + size :]
    for name, offsets in [("plain", [0, 8]), ("ints", [len(data), len(data) + 40]), ("scalar", [-4, 0])]:
        changed = {**entries, name: {**entries[name], "data_offsets": offsets}}
        with pytest.raises(CheckpointError):
            read_weights(header_file(saved, json.dumps(changed).encode(), data))


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    with path.open("wb") as file:
        file.write((LARGEST_HEADER + 1).to_bytes(8, "little"))
        file.truncate(LARGEST_HEADER + 100)
    with pytest.raises(CheckpointError, match="limit"):
        read_header(path)


class Payload:
    """Runs code when it is unpickled."""

    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("zipped", [False, True])
def test_a_pickle_is_refused_and_runs_nothing(tmp_path, suffix, zipped):
    path, canary = tmp_path / f"model{suffix}", tmp_path / "canary"
    payload = pickle.dumps({"weight": Payload(canary)})
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
    else:
        path.write_bytes(payload)
    with pytest.raises(CheckpointError, match="zoo-convert"):
        read_weights(path)
    assert not canary.exists()


@pytest.mark.parametrize("size", [0x0280, 0x0480])
def test_a_header_as_long_as_the_first_bytes_of_a_pickle_is_none(tmp_path, size):
    path = tmp_path / "a.safetensors"
    for padding in range(size):
        save_weights(path, {"w": torch.zeros(1)}, "r" * padding, {})
        if int.from_bytes(path.read_bytes()[:8], "little") == size:
            break
    assert path.read_bytes()[:2] in (b"\x80\x02", b"\x80\x04")
    assert len(read_weights(path).recipe_yaml) == padding


def test_another_programs_safetensors_is_refused_by_name(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "a.safetensors", {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"its format is 'pt'.*zoo-convert"):
        read_weights(tmp_path / "a.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere.safetensors: no such weights file"):
        read_weights(tmp_path / "nowhere.safetensors")
