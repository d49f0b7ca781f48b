"""Weights go to the hub with a card and come back verified; here the hub is a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from unittest.mock import create_autospec

import huggingface_hub
import pytest
import torch
import yaml
from tiny_recipe import RECIPE

import zoo
from zoo.errors import CheckpointError
from zoo.recipe import Recipe


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that is a folder; what it was asked stands in `hub.asked`."""

    class Hub:
        asked: list[tuple] = []
        root = tmp_path / "hub"

        def create_repo(self, repo_id, *, private, exist_ok):
            self.asked.append(("create", repo_id, private))
            (self.root / repo_id).mkdir(parents=True, exist_ok=exist_ok)
            return f"https://hub.example/{repo_id}"

        def file_exists(self, repo_id, filename, *, revision):
            return (self.root / repo_id / filename).exists()

        def upload_folder(self, *, repo_id, folder_path, revision, commit_message, ignore_patterns):
            self.asked.append(("upload", revision, commit_message))
            shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns(*(ignore_patterns or [])))  # fmt: skip

    def download(repo_id, filename, *, revision=None):
        path = Hub.root / repo_id / filename
        if not path.exists():
            raise huggingface_hub.errors.LocalEntryNotFoundError("no")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return Hub


@pytest.fixture
def pushed(hub):
    recipe = Recipe.from_text(RECIPE, "tiny")
    torch.manual_seed(0)
    backbone = zoo.build(recipe)
    address = zoo.push_to_hub(backbone, "org/tiny", recipe, {"step": 7}, private=True, revision="main")
    assert address == "https://hub.example/org/tiny"
    return backbone, hub.root / "org/tiny"


def test_what_was_pushed_comes_back(pushed, hub):
    backbone, place = pushed
    assert hub.asked[-2:] == [("create", "org/tiny", True), ("upload", "main", "Upload weights")]
    assert sorted(f.name for f in place.iterdir()) == ["README.md", "model.safetensors", "recipe.yaml"]
    back = zoo.from_pretrained("hf-hub:org/tiny")
    assert back.card == {"step": 7} and back.recipe["title"] == "A tiny one" and not back.training
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), backbone.state_dict().values()))


def test_the_card_says_what_it_is_and_how_to_use_it(pushed):
    text = (pushed[1] / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    assert yaml.safe_load(header)["library_name"] == "backbone-zoo"
    assert yaml.safe_load(header)["pipeline_tag"] == "unconditional-image-generation"
    count = sum(p.numel() for p in pushed[0].parameters())
    for words in ("# A tiny one", "For a test.", 'zoo.from_pretrained("hf-hub:org/tiny")', f"{count:,}", "| step | 7 |",
                  "3 x 8 x 8"):  # fmt: skip
        assert words in body


@pytest.mark.parametrize("file, at", [("model.safetensors", -3), ("model.safetensors", 200)])
def test_one_flipped_bit_on_the_way_is_found(pushed, file, at):
    path = pushed[1] / file
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"damaged|truncated|not a weights file"):
        zoo.from_pretrained("hf-hub:org/tiny")


def test_a_cut_download_is_found(pushed):
    path = pushed[1] / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"truncated.*copy or download it again"):
        zoo.from_pretrained("hf-hub:org/tiny")


def test_a_card_that_somebody_wrote_stays_and_ours_is_renewed(pushed, hub, tmp_path):
    backbone, place = pushed
    recipe = Recipe.from_text(RECIPE.replace("A tiny one", "Another"), "tiny")
    zoo.push_to_hub(backbone, "org/tiny", recipe)
    assert "# Another" in (place / "README.md").read_text()
    (place / "README.md").write_text("mine")
    zoo.push_to_hub(backbone, "org/tiny", recipe)
    assert (place / "README.md").read_text() == "mine"
    zoo.save_pretrained(backbone, tmp_path / "here", recipe)
    (tmp_path / "here/README.md").write_text("mine too")
    zoo.save_pretrained(backbone, tmp_path / "here", recipe)
    assert (tmp_path / "here/README.md").read_text() == "mine too"


@pytest.mark.parametrize("repo", ["tiny", "org/tiny/x", "../tiny", "org/tiny@main", "org/.."])
def test_what_is_no_repository_is_refused_before_anything_is_written(pushed, hub, repo):
    asked = list(hub.asked)
    with pytest.raises(CheckpointError, match="write org/name"):
        zoo.push_to_hub(pushed[0], repo, Recipe.from_text(RECIPE, "tiny"))
    assert hub.asked == asked


def test_a_hub_that_refuses_says_so(pushed, hub, monkeypatch):
    def refuse(*_, **__):
        raise OSError("401 Unauthorized")

    monkeypatch.setattr(hub, "upload_folder", refuse)
    with pytest.raises(CheckpointError, match=r"the hub refused: 401 Unauthorized; hf auth login"):
        zoo.push_to_hub(pushed[0], "org/tiny", Recipe.from_text(RECIPE, "tiny"))


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """huggingface_hub's own cache as it leaves it on a disk, with one model and one branch; and no network."""
    recipe = Recipe.from_text(RECIPE, "tiny")
    torch.manual_seed(0)
    backbone, place = zoo.build(recipe), tmp_path / "cache/models--org--tiny"
    for revision, commit, step in (("main", "1" * 40, 7), ("v2", "2" * 40, 9)):
        snapshot = place / "snapshots" / commit
        zoo.save_pretrained(backbone, snapshot, recipe, {"step": step})
        blob = place / "blobs" / hashlib.sha256(commit.encode()).hexdigest()
        blob.parent.mkdir(exist_ok=True)
        (snapshot / "model.safetensors").rename(blob)
        (snapshot / "model.safetensors").symlink_to(os.path.relpath(blob, snapshot))
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / revision).write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return place, backbone


@pytest.mark.parametrize("source, step", [
    ("org/tiny", 7), ("hf-hub:org/tiny", 7), ("org/tiny@main", 7), ("org/tiny@v2", 9), (f"org/tiny@{'2' * 40}", 9),
])  # fmt: skip
def test_what_the_hubs_own_cache_holds_loads_without_a_network(cache, source, step):
    back = zoo.from_pretrained(source)
    assert back.card == {"step": step}
    assert all(torch.equal(a, b) for a, b in zip(back.state_dict().values(), cache[1].state_dict().values()))


@pytest.mark.parametrize("source", ["org/other", "hf-hub:org/other", "org/tiny@v3"])
def test_what_the_cache_does_not_hold_is_told_without_a_network(cache, source):
    with pytest.raises(CheckpointError, match=rf"{source}: the hub cannot be reached and this model is not in the loc"):
        zoo.from_pretrained(source)


def test_a_cached_file_that_changed_is_refused(cache):
    blob = sorted((cache[0] / "blobs").iterdir())[0]
    data = bytearray(blob.read_bytes())
    data[-5] ^= 4
    blob.write_bytes(data)
    damaged = next(p for p in (cache[0] / "refs").iterdir() if blob.samefile(
        cache[0] / "snapshots" / p.read_text() / "model.safetensors"))  # fmt: skip
    with pytest.raises(CheckpointError, match="content does not match its sha256; copy or download it again"):
        zoo.from_pretrained(f"org/tiny@{damaged.name}")


def test_a_pickle_on_the_hub_is_never_opened(cache, tmp_path):
    blob = sorted((cache[0] / "blobs").iterdir())[0]
    torch.save({"x": torch.zeros(1)}, blob)
    name = next(p.name for p in (cache[0] / "refs").iterdir() if blob.samefile(
        cache[0] / "snapshots" / p.read_text() / "model.safetensors"))  # fmt: skip
    with pytest.raises(CheckpointError, match=r"this is a pickle.*it was not opened"):
        zoo.from_pretrained(f"org/tiny@{name}")


def test_a_path_that_is_here_is_never_looked_up(cache, tmp_path):
    zoo.save_pretrained(cache[1], tmp_path / "org/tiny", Recipe.from_text(RECIPE, "tiny"), {"step": 1})
    assert zoo.from_pretrained("org/tiny").card == {"step": 1}
    with pytest.raises(CheckpointError, match="org/tinny: no such weights file"):  # a slip in a path stays one
        zoo.from_pretrained("org/tinny")
    with pytest.raises(CheckpointError, match=r"out/model.safetensors: no such weights file"):
        zoo.from_pretrained("out/model.safetensors")


def test_the_real_api_accepts_what_it_is_asked(monkeypatch):
    """Against the signatures of the installed huggingface_hub, not of the folder above."""
    api = create_autospec(huggingface_hub.HfApi, instance=True)
    api.create_repo.return_value, api.file_exists.return_value = "https://hub.example/org/tiny", False
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: api)
    recipe = Recipe.from_text(RECIPE, "tiny")
    assert zoo.push_to_hub(zoo.build(recipe), "org/tiny", recipe, revision="v2") == "https://hub.example/org/tiny"
    asked = api.upload_folder.call_args.kwargs
    assert asked["repo_id"] == "org/tiny" and asked["revision"] == "v2" and asked["ignore_patterns"] is None
