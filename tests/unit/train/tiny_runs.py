"""Runs, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from zoo.recipe import Recipe
from zoo.train.loop import train
from zoo.weights.file import read_weights


def trained(recipe: Recipe, folder: Path, **options) -> str:
    """Train on the CPU."""
    return train(recipe, folder, device="cpu", **options)


def tensors(folder: Path, step: int) -> dict[str, torch.Tensor]:
    """Everything in a checkpoint, by file and name."""
    files = sorted((folder / f"checkpoints/step-{step:08d}").glob("*.safetensors"))
    return {f"{f.stem}:{name}": t.clone() for f in files for name, t in read_weights(f).tensors.items()}


SPEED = ("images_per_second", "mfu", "memory_gib")


def losses(folder: Path) -> list[dict]:
    """The metrics, speed apart."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in SPEED} for line in lines]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether all tensors are equal, bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
