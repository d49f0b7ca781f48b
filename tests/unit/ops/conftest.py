"""Uninitialised memory is NaN in these tests, so that reading it shows."""

import pytest
import torch


@pytest.fixture(autouse=True)
def poisoned_empty(monkeypatch):
    empty = torch.empty

    def poisoned(*args, **kwargs):
        x = empty(*args, **kwargs)
        return x.fill_(float("nan")) if x.is_floating_point() else x

    monkeypatch.setattr(torch, "empty", poisoned)
