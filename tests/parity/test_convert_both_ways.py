"""zoo-convert, from a published .pt to our folder and back to a .pt: bit for bit, for every family."""

from __future__ import annotations

import pytest
import torch
from test_round_trips import CASES, published

from zoo.cli.convert import main

ONE = {family: next(name for other, name in CASES if other == family) for family, _ in CASES}


def words(settings: dict) -> list[str]:
    """As hints on a command line; a published None is what is not said."""
    return [f"{name}={str(value).lower() if isinstance(value, bool) else value}"
            for name, value in settings.items() if value is not None]  # fmt: skip


@pytest.mark.parametrize("end", ["pt", "pth", "safetensors"])
@pytest.mark.parametrize("family", ONE)
def test_there_and_back(family, end, tmp_path, capsys):
    settings, state = published(family, ONE[family])
    torch.save({"ema": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "theirs.pt")
    there, back = tmp_path / "ours", tmp_path / f"back.{end}"
    assert main([str(tmp_path / "theirs.pt"), str(there), *words(settings)]) == 0
    assert main([str(there), str(back), "--to", family]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{family}, ") and f"{family}, {len(state)} tensors" in told

    from zoo.interop import read_official

    found = read_official(back)
    assert found.keys() == state.keys()
    assert all(found[k].dtype == v.dtype and torch.equal(found[k], v) for k, v in state.items())
    if end != "safetensors":
        assert torch.load(back, weights_only=True).keys() == state.keys()
