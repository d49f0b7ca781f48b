"""Weights on the Hugging Face hub; `huggingface_hub` is imported by these functions only."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from zoo.errors import CheckpointError
from zoo.weights.card import NAME as CARD
from zoo.weights.card import by_hand

if TYPE_CHECKING:
    from zoo.recipe import Recipe

PREFIX = "hf-hub:"
FILE = "model.safetensors"
ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[A-Za-z0-9][\w./-]*))?")


def on_hub(source: str | Path) -> bool:
    """Whether this means the hub: `hf-hub:...`, or `org/name` where there is neither such a path nor a folder `org`."""
    text = str(source)
    named = isinstance(source, str) and ID.fullmatch(text) and not text.endswith((".safetensors", ".pt", ".pth"))
    return text.startswith(PREFIX) or bool(named and not Path(text).parent.exists())


def download(source: str) -> Path:
    """The local copy of the weights behind `hf-hub:org/name` or `hf-hub:org/name@revision`; the prefix may be left out.

    Raises: CheckpointError if the id is malformed, unknown, or cannot be reached.
    """
    match = ID.fullmatch(source.removeprefix(PREFIX))
    if not match or ".." in source:
        raise CheckpointError("not a hub id", where=source, fix="write hf-hub:org/name, or hf-hub:org/name@revision")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(hf_hub_download(match["repo"], FILE, revision=match["revision"]))
    except LocalEntryNotFoundError:
        raise CheckpointError("the hub cannot be reached and this model is not in the local cache", where=source,
                              fix="go online once, or give the path of a downloaded model.safetensors") from None
    except (RepositoryNotFoundError, EntryNotFoundError) as error:
        raise CheckpointError(f"the hub has no {FILE} there: {str(error).splitlines()[0]}", where=source) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"the hub did not deliver: {error}", where=source) from None


def push_to_hub(backbone: nn.Module, repo: str, recipe: Recipe | None = None,
                card: Mapping[str, Any] | None = None, *, private: bool = False, revision: str | None = None,
                message: str = "Upload weights") -> str:  # fmt: skip
    """Upload weights, recipe and model card; `zoo.from_pretrained("hf-hub:" + repo)` reads them. Returns the address.

    Args:
        repo: org/name; it is made if there is none.
        recipe: what rebuilds the backbone; a loaded backbone brings its own.
        card: facts about the weights. A README.md that somebody wrote there stays.
        revision: a branch.

    Raises: CheckpointError if the name is malformed, or the hub cannot be reached or refuses.
    """
    if not (match := ID.fullmatch(repo)) or match["revision"] or ".." in repo:
        raise CheckpointError("not a hub id", where=repo, fix="write org/name")
    from huggingface_hub import HfApi, hf_hub_download

    from zoo.weights.load import save_pretrained

    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(backbone, folder, recipe, card, source=PREFIX + repo)
        try:
            api = HfApi()
            address = api.create_repo(repo, private=private, exist_ok=True)
            there = api.file_exists(repo, CARD, revision=revision)
            kept = [CARD] if there and by_hand(Path(hf_hub_download(repo, CARD, revision=revision))) else None
            api.upload_folder(repo_id=repo, folder_path=folder, revision=revision, commit_message=message,
                              ignore_patterns=kept)  # fmt: skip
        except (OSError, ValueError) as error:
            raise CheckpointError(f"the hub refused: {error}", where=repo, fix="hf auth login") from None
    return str(address)
